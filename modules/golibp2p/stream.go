package golibp2p

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// stream is a Switchyard stream as a go-libp2p one.
type stream struct {
	under     muxer.Stream
	c         *conn
	id        uint64
	direction network.Direction
	opened    time.Time
	protocol  atomic.Pointer[protocol.ID]
	scope     network.StreamManagementScope
	once      sync.Once
	done      chan struct{} // closed by Close or Reset
}

var _ network.Stream = (*stream)(nil)

func (s *stream) Read(b []byte) (int, error) {
	n, err := s.under.Read(b)
	return n, s.explain(err)
}

func (s *stream) Write(b []byte) (int, error) {
	n, err := s.under.Write(b)
	return n, s.explain(err)
}

// explain returns an error of the stream in go-libp2p's words. Whoever learns from it that the connection has ended
// does not find it any more: pubsub takes a peer that it finds for one with another connection, and dials.
func (s *stream) explain(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if s.c.wasClosed() {
		return &network.ConnError{TransportError: err}
	}
	err = streamError(err, []protocol.ID{s.Protocol()})
	if _, ended := err.(*network.ConnError); ended {
		s.c.end()
	}
	return err
}

// streamError returns an error in go-libp2p's words.
func streamError(err error, offered []protocol.ID) error {
	var reset *muxer.ResetError
	switch {
	case err == nil, errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.EOF) && !errors.As(err, &reset):
		return err
	case errors.As(err, &reset):
		return &network.StreamError{ErrorCode: network.StreamErrorCode(reset.Code), Remote: reset.Remote,
			TransportError: err}
	case errors.Is(err, muxer.ErrUnknownProtocol):
		return fmt.Errorf("%w: %w", multistream.ErrNotSupported[protocol.ID]{Protos: offered}, err)
	case errors.Is(err, net.ErrClosed) && !errors.Is(err, muxer.ErrClosed):
		return err
	}
	var end *muxer.CloseError
	return &network.ConnError{Remote: errors.As(err, &end) && end.Remote, TransportError: err}
}

func (s *stream) CloseWrite() error { return s.under.CloseWrite() }
func (s *stream) CloseRead() error  { return s.under.CloseRead() }

// Close ends both directions. What was written still arrives.
func (s *stream) Close() error {
	err := s.under.Close()
	s.end()
	return err
}

func (s *stream) Reset() error { return s.ResetWithError(network.StreamNoError) }

// ResetWithError ends both directions at once. The remote finds the code in its error.
func (s *stream) ResetWithError(code network.StreamErrorCode) error {
	err := s.under.ResetWith(muxer.ResetCode(code))
	s.end()
	return err
}

// end takes the stream off its connection, once.
func (s *stream) end() {
	s.once.Do(func() {
		s.c.remove(s)
		s.scope.Done()
		close(s.done)
	})
}

func (s *stream) ID() string { return fmt.Sprintf("%s-%d", s.c.ID(), s.id) }

func (s *stream) String() string {
	return fmt.Sprintf("<golibp2p.Stream[%s] %s (%s) <-> %s (%s)>", s.Protocol(), s.c.local, s.c.t.a.self, s.c.far,
		s.c.remote)
}

func (s *stream) Protocol() protocol.ID { return *s.protocol.Load() }

// SetProtocol changes what Protocol returns. The protocol has been negotiated already.
func (s *stream) SetProtocol(pid protocol.ID) error {
	if err := s.scope.SetProtocol(pid); err != nil {
		return err
	}
	s.protocol.Store(&pid)
	return nil
}

func (s *stream) Conn() network.Conn         { return s.c }
func (s *stream) Scope() network.StreamScope { return s.scope }

func (s *stream) Stat() network.Stats {
	return network.Stats{Direction: s.direction, Opened: s.opened}
}

func (s *stream) SetDeadline(t time.Time) error      { return s.under.SetDeadline(t) }
func (s *stream) SetReadDeadline(t time.Time) error  { return s.under.SetReadDeadline(t) }
func (s *stream) SetWriteDeadline(t time.Time) error { return s.under.SetWriteDeadline(t) }
