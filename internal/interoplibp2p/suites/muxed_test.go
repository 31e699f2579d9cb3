// Package suites runs go-libp2p's suites of muxers and transports, and the suite of net.Conn, with ours at one end and
// go-libp2p's at the other. docs/libp2p-suites.md has what came of it.
//
// These suites leave goroutines and listeners behind, of both ends, so nothing looks for leaks here.
package suites

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// muxed is a connection of ours with streams, as go-libp2p sees one.
type muxed struct {
	streams muxer.Streams
	arrived chan muxer.RawStream // closed at the end of the connection
	ended   error                // why, then
	closed  atomic.Bool
}

var _ network.MuxedConn = (*muxed)(nil)

// backlog is how many streams wait for AcceptStream, more than any test leaves.
const backlog = 1 << 10

// newMuxed takes streams, accepts what arrives, and closes the connection when the remote has ended it, as a session of
// ours does.
func newMuxed(streams muxer.Streams) *muxed {
	streams.Up()
	c := &muxed{streams: streams, arrived: make(chan muxer.RawStream, backlog)}
	go c.accept()
	return c
}

func (c *muxed) accept() {
	defer close(c.arrived)
	for {
		s, err := c.streams.Accept(context.Background())
		if err != nil {
			c.ended = err
			_ = c.Close()
			return
		}
		c.arrived <- s
	}
}

func (c *muxed) OpenStream(ctx context.Context) (network.MuxedStream, error) {
	s, err := c.streams.Open(ctx)
	if err != nil {
		return nil, err
	}
	return muxedStream{s}, nil
}

func (c *muxed) AcceptStream() (network.MuxedStream, error) {
	s, ok := <-c.arrived
	if !ok {
		return nil, c.ended
	}
	return muxedStream{s}, nil
}

func (c *muxed) Close() error { return c.CloseWithError(0) }

func (c *muxed) CloseWithError(network.ConnErrorCode) error {
	c.closed.Store(true)
	return c.streams.CloseWith(muxer.CodeRequested, "", 0)
}

func (c *muxed) IsClosed() bool { return c.closed.Load() }

func (*muxed) As(any) bool { return false }

// muxedStream is a stream of ours, as go-libp2p sees one.
type muxedStream struct{ muxer.RawStream }

var _ network.MuxedStream = muxedStream{}

func (s muxedStream) Read(p []byte) (int, error) {
	n, err := s.RawStream.Read(p)
	return n, explain(err)
}

func (s muxedStream) Write(p []byte) (int, error) {
	n, err := s.RawStream.Write(p)
	return n, explain(err)
}

func (s muxedStream) Reset() error { return s.ResetWithError(0) }

func (s muxedStream) ResetWithError(code network.StreamErrorCode) error {
	return s.RawStream.ResetWith(muxer.ResetCode(code))
}

// explain puts a reset into go-libp2p's terms.
func explain(err error) error {
	var reset *muxer.ResetError
	if errors.As(err, &reset) {
		return &network.StreamError{ErrorCode: network.StreamErrorCode(reset.Code), Remote: reset.Remote,
			TransportError: err}
	}
	return err
}
