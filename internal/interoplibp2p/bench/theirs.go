package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	netw "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	gonoise "github.com/libp2p/go-libp2p/p2p/security/noise"
	gotls "github.com/libp2p/go-libp2p/p2p/security/tls"
	goquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	gotcp "github.com/libp2p/go-libp2p/p2p/transport/tcp"

	"github.com/switchyard-p2p/switchyard/internal/benchkit"
)

const benchProtocol = "/bench/1.0.0"

// newTheirs starts a go-libp2p host with one transport and one security. Its resource manager has no metrics, and no
// limits that a measurement reaches.
func newTheirs(via string, listen bool) (host.Host, error) {
	limits, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.InfiniteLimits), rcmgr.WithMetricsDisabled())
	if err != nil {
		return nil, err
	}
	opts := []libp2p.Option{libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.ResourceManager(limits),
		libp2p.UserAgent("bench")}
	addr := "/ip4/" + benchkit.FreshIP()
	switch via {
	case "noise", "tls":
		addr += "/tcp/0"
		opts = append(opts, libp2p.Transport(gotcp.NewTCPTransport), libp2p.Muxer(yamux.ID, yamux.DefaultTransport))
		if via == "noise" {
			opts = append(opts, libp2p.Security(gonoise.ID, gonoise.New))
		} else {
			opts = append(opts, libp2p.Security(gotls.ID, gotls.New))
		}
	case "quic":
		addr += "/udp/0/quic-v1"
		opts = append(opts, libp2p.Transport(goquic.NewTransport))
	}
	if !listen {
		opts = append(opts, libp2p.NoListenAddrs)
	} else {
		opts = append(opts, libp2p.ListenAddrStrings(addr))
	}
	return libp2p.New(opts...)
}

// theirPair is two hosts with a connection between them and a stream on it.
type theirPair struct {
	a, b  host.Host
	s     netw.Stream // at a
	far   netw.Stream // at b
	frame int         // 0: unframed; 1: one frame at a time; larger: gathered by a bufio.Writer of that size
	echo  sync.WaitGroup
	on    bool
}

func newTheirPair(via string, frame int) func() (benchkit.Pair, error) {
	return func() (benchkit.Pair, error) {
		p := &theirPair{frame: frame}
		var err error
		if p.a, err = newTheirs(via, false); err != nil {
			return nil, err
		}
		if p.b, err = newTheirs(via, true); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		far := make(chan netw.Stream, 1)
		p.b.SetStreamHandler(benchProtocol, func(s netw.Stream) { far <- s })
		if err := p.a.Connect(ctx, peer.AddrInfo{ID: p.b.ID(), Addrs: p.b.Addrs()}); err != nil {
			return nil, err
		}
		if p.s, err = p.a.NewStream(ctx, p.b.ID(), benchProtocol); err != nil {
			return nil, err
		}
		if _, err := p.s.Write([]byte{1}); err != nil { // the negotiation is lazy
			return nil, err
		}
		p.far = <-far
		_, err = io.ReadFull(p.far, make([]byte, 1))
		return p, err
	}
}

func (p *theirPair) Stream(msg []byte, n int) error {
	return overStream(p.s, p.far, p.frame, msg, n)
}

func (p *theirPair) RoundTrip(msg []byte) error {
	if !p.on {
		p.on = true
		p.echo.Go(func() { sendBack(p.far) })
	}
	return ask(p.s, msg)
}

func (p *theirPair) Close() {
	p.a.Close()
	p.b.Close()
	p.echo.Wait()
}

// ask sends msg and reads as much back.
func ask(s io.ReadWriter, msg []byte) error {
	if _, err := s.Write(msg); err != nil {
		return err
	}
	var back [100]byte
	_, err := io.ReadFull(s, back[:len(msg)])
	return err
}

// overStream writes msg n times to a stream, framed or not. far is the stream's other end.
func overStream(s io.Writer, far io.Reader, frame int, msg []byte, n int) error {
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		if frame == 0 {
			_, failed = io.CopyBuffer(io.Discard, struct{ io.Reader }{io.LimitReader(far, int64(n)*int64(len(msg)))},
				make([]byte, 64<<10))
			return
		}
		r := bufio.NewReaderSize(far, 64<<10)
		buf := make([]byte, len(msg))
		for range n {
			size, err := binary.ReadUvarint(r)
			if err == nil && size != uint64(len(msg)) {
				err = fmt.Errorf("a message of %d bytes, expected %d", size, len(msg))
			}
			if err == nil {
				_, err = io.ReadFull(r, buf)
			}
			if err != nil {
				failed = err
				return
			}
		}
	})
	err := func() error {
		switch frame {
		case 0:
			for range n {
				if _, err := s.Write(msg); err != nil {
					return err
				}
			}
			return nil
		case 1:
			buf := make([]byte, 0, len(msg)+binary.MaxVarintLen64)
			for range n {
				buf = append(binary.AppendUvarint(buf[:0], uint64(len(msg))), msg...)
				if _, err := s.Write(buf); err != nil {
					return err
				}
			}
			return nil
		}
		w := bufio.NewWriterSize(s, frame)
		var head [binary.MaxVarintLen64]byte
		for range n {
			_, _ = w.Write(head[:binary.PutUvarint(head[:], uint64(len(msg)))])
			if _, err := w.Write(msg); err != nil {
				return err
			}
		}
		return w.Flush()
	}()
	if err != nil {
		return err
	}
	wg.Wait()
	return failed
}

// theirStar is a hub and hosts that dial it.
type theirStar struct {
	hub      host.Host
	dialers  []host.Host
	atHub    *benchkit.Watch
	sub      event.Subscription
	watching sync.WaitGroup
}

func newTheirStar(via string) func(n int) (benchkit.Star, error) {
	return func(n int) (benchkit.Star, error) {
		hub, err := newTheirs(via, true)
		if err != nil {
			return nil, err
		}
		s := &theirStar{hub: hub, atHub: benchkit.NewWatch()}
		for range n {
			d, err := newTheirs(via, false)
			if err != nil {
				return nil, err
			}
			s.atHub.Expect(string(d.ID()))
			s.dialers = append(s.dialers, d)
		}
		hub.Network().Notify(&netw.NotifyBundle{DisconnectedF: func(_ netw.Network, c netw.Conn) {
			s.atHub.Tell(string(c.RemotePeer()), false)
		}})
		if s.sub, err = hub.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted)); err != nil {
			return nil, err
		}
		s.watching.Go(func() {
			for e := range s.sub.Out() {
				s.atHub.Tell(string(e.(event.EvtPeerIdentificationCompleted).Peer), true)
			}
		})
		return s, nil
	}
}

// Setup returns when both ends have identified each other. Connect waits for its own end.
func (s *theirStar) Setup(i int) error {
	hub := peer.AddrInfo{ID: s.hub.ID(), Addrs: s.hub.Addrs()}
	if err := s.dialers[i].Connect(context.Background(), hub); err != nil {
		return err
	}
	if !s.atHub.Within(10*time.Second, string(s.dialers[i].ID()), true) {
		return errors.New("the hub did not identify its peer")
	}
	return nil
}

func (s *theirStar) Hangup(i int) error {
	if err := s.dialers[i].Network().ClosePeer(s.hub.ID()); err != nil {
		return err
	}
	if !s.atHub.Within(10*time.Second, string(s.dialers[i].ID()), false) {
		return errors.New("the hub did not notice the end")
	}
	return nil
}

func (s *theirStar) Close() {
	for _, d := range s.dialers {
		d.Close()
	}
	s.sub.Close()
	s.hub.Close()
	s.watching.Wait()
}
