package main

import (
	"context"
	"io"
	"net"
	"sync"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
)

// ourStreams is one byte stream between two ends of ours, without hosts.
type ourStreams struct {
	conns   [2]muxer.Streams
	s, far  muxer.RawStream
	echoing sync.WaitGroup
	on      bool
}

type nobody struct{}

func (nobody) Drained()    {}
func (nobody) Ended(error) {}

func newOurStreams(via string) func() (pair, error) {
	return func() (pair, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		var raw [2]net.Conn
		if raw[0], err = net.Dial("tcp", l.Addr().String()); err != nil {
			return nil, err
		}
		if raw[1], err = l.Accept(); err != nil {
			return nil, err
		}
		p := &ourStreams{}
		mux, err := yamux.New(yamux.Config{})
		if err != nil {
			return nil, err
		}
		var wg sync.WaitGroup
		var errs [2]error
		for i, side := range []muxer.Side{muxer.Dialer, muxer.Listener} {
			wg.Go(func() {
				var sec handshake.Security = noise.New()
				if via == "tls" {
					sec = tls.New()
				}
				key, err := handshake.GenerateNodeKey()
				if err != nil {
					errs[i] = err
					return
				}
				c, err := sec.Secure(context.Background(), raw[i], handshake.Securing{Side: side, Identity: key, Muxers: []string{mux.Protocol()}})
				if err != nil {
					errs[i] = err
					return
				}
				p.conns[i], errs[i] = mux.New(c, side)
			})
		}
		wg.Wait()
		for i, err := range errs {
			if err != nil {
				return nil, err
			}
			p.conns[i].Watch(nobody{})
		}
		if p.s, err = p.conns[0].Open(context.Background()); err != nil {
			return nil, err
		}
		p.far, err = p.conns[1].Accept()
		return p, err
	}
}

func (p *ourStreams) stream(msg []byte, n int) error { return overStream(p.s, p.far, 0, msg, n) }

func (p *ourStreams) roundTrip(msg []byte) error {
	if !p.on {
		p.on = true
		p.echoing.Go(func() {
			_, _ = io.CopyBuffer(struct{ io.Writer }{p.far}, struct{ io.Reader }{p.far}, make([]byte, 4<<10))
		})
	}
	return ask(p.s, msg)
}

func (p *ourStreams) close() {
	p.conns[0].Close()
	p.conns[1].Close()
	p.echoing.Wait()
}
