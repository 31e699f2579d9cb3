package main

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// ourStreams is one byte stream of an application between two hosts of ours.
type ourStreams struct {
	ourPair
	s, far muxer.Stream
	taken  chan struct{} // closed when the far end's handler may return
	echo   sync.WaitGroup
	on     bool
}

func newOurStreams(via string) func() (pair, error) {
	return func() (pair, error) {
		p := &ourStreams{taken: make(chan struct{})}
		far := make(chan muxer.Stream, 1)
		var err error
		if p.a, err = newOurs(via, false); err != nil {
			return nil, err
		}
		if p.b, err = newOurs(via, true); err != nil {
			return nil, err
		}
		err = p.b.HandleStream(benchProtocol, func(_ context.Context, _ transport.NodeID, s muxer.Stream) {
			far <- s
			<-p.taken
		})
		if err != nil {
			return nil, err
		}
		if err := link(p.a, p.b); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if p.s, err = p.a.OpenStream(ctx, p.b.Self(), benchProtocol); err != nil {
			return nil, err
		}
		p.far = <-far
		return p, nil
	}
}

func (p *ourStreams) stream(msg []byte, n int) error { return overStream(p.s, p.far, 0, msg, n) }

func (p *ourStreams) roundTrip(msg []byte) error {
	if !p.on {
		p.on = true
		p.echo.Go(func() {
			_, _ = io.CopyBuffer(struct{ io.Writer }{p.far}, struct{ io.Reader }{p.far}, make([]byte, 4<<10))
		})
	}
	return ask(p.s, msg)
}

func (p *ourStreams) close() {
	close(p.taken)
	p.a.close()
	p.b.close()
	p.echo.Wait()
}
