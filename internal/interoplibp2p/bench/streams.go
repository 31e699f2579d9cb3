package main

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/internal/benchkit"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// ourStreams is one application stream between two of our hosts.
type ourStreams struct {
	hosts  *hosttest.Pair
	s, far muxer.Stream
	taken  chan struct{} // closed when the far end's handler may return
	echo   sync.WaitGroup
	on     bool
}

func newOurStreams(via string) func() (benchkit.Pair, error) {
	return func() (benchkit.Pair, error) {
		p := &ourStreams{taken: make(chan struct{})}
		far := make(chan muxer.Stream, 1)
		var err error
		p.hosts, err = linkOurs(via, func(_ context.Context, _ transport.NodeID, s muxer.Stream) {
			far <- s
			<-p.taken
		})
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if p.s, err = p.hosts.A.OpenStream(ctx, p.hosts.B.Self(), benchProtocol); err != nil {
			return nil, err
		}
		if _, err := p.s.Read(nil); err != nil {
			return nil, err
		}
		p.far = <-far
		return p, nil
	}
}

func (p *ourStreams) Stream(msg []byte, n int) error { return overStream(p.s, p.far, 0, msg, n) }

func (p *ourStreams) RoundTrip(msg []byte) error {
	if !p.on {
		p.on = true
		p.echo.Go(func() { sendBack(p.far) })
	}
	return ask(p.s, msg)
}

func (p *ourStreams) Close() {
	close(p.taken)
	p.hosts.Close()
	p.echo.Wait()
}

// sendBack echoes a stream until it ends.
func sendBack(s io.ReadWriter) {
	_, _ = io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{s}, make([]byte, 4<<10))
}
