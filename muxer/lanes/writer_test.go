package lanes

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// slowStreams open their streams when they are told. The remote is silent.
type slowStreams struct {
	muxer.Streams
	opening chan struct{} // receives at each Open
	open    chan struct{}
	ended   chan struct{}
	once    sync.Once
}

func (s *slowStreams) Open(ctx context.Context) (muxer.RawStream, error) {
	s.opening <- struct{}{}
	<-s.open
	local, remote := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, remote) }()
	context.AfterFunc(ctx, func() { _ = local.Close() })
	return &pipeStream{local}, nil
}
func (s *slowStreams) Accept(ctx context.Context) (muxer.RawStream, error) {
	select {
	case <-s.ended:
		return nil, muxer.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
func (s *slowStreams) Ping(context.Context) (time.Duration, error) { return 0, nil }
func (s *slowStreams) Up()                                         {}
func (s *slowStreams) CloseWith(muxer.Code, string, time.Duration) error {
	s.once.Do(func() { close(s.ended) })
	return nil
}

// pipeStream always has room.
type pipeStream struct{ net.Conn }

func (p *pipeStream) CloseWrite() error               { return p.Close() }
func (p *pipeStream) CloseRead() error                { return nil }
func (p *pipeStream) Reset(muxer.Code) error          { return p.Close() }
func (p *pipeStream) ResetWith(muxer.ResetCode) error { return p.Close() }
func (p *pipeStream) Writable() int                   { return 1 << 20 }
func (p *pipeStream) NotifyWritable(f func())         {}

type noHandler struct{}

func (noHandler) Established()                                   {}
func (noHandler) Deliver(context.Context, []muxer.Message) error { return nil }
func (noHandler) Serves(string) bool                             { return false }
func (noHandler) ServeStream(_ context.Context, s muxer.Stream)  { _ = s.Close() }

// A remote may refuse a channel before the writer that has opened its stream goes on.
func TestRefusedWhileItOpens(t *testing.T) {
	streams := &slowStreams{opening: make(chan struct{}), open: make(chan struct{}), ended: make(chan struct{})}
	s := New(streams, Config{})
	if err := s.SetChannels([]muxer.Channel{{ID: 1}}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context(), noHandler{}) }()
	if err := s.Send(t.Context(), 1, []byte("x")); err != nil {
		t.Fatal(err)
	}
	<-streams.opening
	s.mu.Lock()
	close(streams.open)
	s.refuse(0, errors.New("not this one"))
	s.mu.Unlock()
	if err := s.Send(t.Context(), 1, []byte("x")); !errors.Is(err, muxer.ErrUnknownChannel) {
		t.Errorf("a channel that was refused takes a message: %v", err)
	}
	_ = s.Close(muxer.CodeRequested, "")
	<-done
}
