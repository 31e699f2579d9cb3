package golibp2p

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// errNoProtocol is what a stream without a protocol returns.
var errNoProtocol = errors.New("golibp2p: the stream has no protocol yet: SetProtocol opens it")

// blankStream is a stream that SetProtocol opens: the sessions of Switchyard negotiate protocols themselves.
type blankStream struct {
	c      *conn
	opened time.Time
	s      atomic.Pointer[stream]
	over   atomic.Bool // Close or Reset came first
}

var _ network.Stream = (*blankStream)(nil)

func newBlankStream(c network.Conn) *blankStream {
	return &blankStream{c: c.(*conn), opened: time.Now()}
}

// SetProtocol opens the stream, or changes what Protocol returns.
func (b *blankStream) SetProtocol(pid protocol.ID) error {
	if s := b.s.Load(); s != nil {
		return s.SetProtocol(pid)
	}
	if b.over.Load() {
		return network.ErrReset
	}
	ctx, cancel := context.WithTimeout(b.c.t.a.ctx, newStreamTimeout)
	defer cancel()
	under, err := b.c.t.a.h.OpenStream(ctx, b.c.node, string(pid))
	if err != nil {
		return err
	}
	s, err := b.c.add(under, pid, network.DirOutbound)
	if err != nil {
		return err
	}
	if !b.s.CompareAndSwap(nil, s) || b.over.Load() {
		_ = s.Reset()
		return network.ErrReset
	}
	return nil
}

// do calls fn with the open stream.
func (b *blankStream) do(fn func(*stream) error) error {
	if s := b.s.Load(); s != nil {
		return fn(s)
	}
	return errNoProtocol
}

// finish is do for what ends the stream.
func (b *blankStream) finish(fn func(*stream) error) error {
	b.over.Store(true)
	if s := b.s.Load(); s != nil {
		return fn(s)
	}
	return nil
}

func (b *blankStream) Read(p []byte) (n int, err error) {
	err = b.do(func(s *stream) error {
		n, err = s.Read(p)
		return err
	})
	return n, err
}

func (b *blankStream) Write(p []byte) (n int, err error) {
	err = b.do(func(s *stream) error {
		n, err = s.Write(p)
		return err
	})
	return n, err
}

func (b *blankStream) CloseWrite() error { return b.do((*stream).CloseWrite) }
func (b *blankStream) CloseRead() error  { return b.do((*stream).CloseRead) }
func (b *blankStream) Close() error      { return b.finish((*stream).Close) }
func (b *blankStream) Reset() error      { return b.finish((*stream).Reset) }

func (b *blankStream) ResetWithError(code network.StreamErrorCode) error {
	return b.finish(func(s *stream) error { return s.ResetWithError(code) })
}

func (b *blankStream) SetDeadline(t time.Time) error {
	return b.do(func(s *stream) error { return s.SetDeadline(t) })
}

func (b *blankStream) SetReadDeadline(t time.Time) error {
	return b.do(func(s *stream) error { return s.SetReadDeadline(t) })
}

func (b *blankStream) SetWriteDeadline(t time.Time) error {
	return b.do(func(s *stream) error { return s.SetWriteDeadline(t) })
}

func (b *blankStream) ID() string {
	if s := b.s.Load(); s != nil {
		return s.ID()
	}
	return b.c.ID() + "-0"
}

func (b *blankStream) Protocol() protocol.ID {
	if s := b.s.Load(); s != nil {
		return s.Protocol()
	}
	return ""
}

func (b *blankStream) Conn() network.Conn { return b.c }

func (b *blankStream) Stat() network.Stats {
	return network.Stats{Direction: network.DirOutbound, Opened: b.opened}
}

func (b *blankStream) Scope() network.StreamScope {
	if s := b.s.Load(); s != nil {
		return s.scope
	}
	return &network.NullScope{}
}
