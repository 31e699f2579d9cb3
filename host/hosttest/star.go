package hosttest

import (
	"context"
	"fmt"
	"sync"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/benchkit"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Star is a running host and others that dial it, for benchmarks of set-ups and of idle links.
type Star struct {
	hub      *host.Host
	address  transport.Address
	dialers  []*host.Host
	end      func()
	atHub    *benchkit.Watch
	atDialer []*benchkit.Watch
	ctx      context.Context
	cancel   context.CancelFunc
	watching sync.WaitGroup
}

// NewStar watches the hub and the dialers; end stops them all.
func NewStar(hub *host.Host, at transport.Address, dialers []*host.Host, end func()) *Star {
	s := &Star{hub: hub, address: at, dialers: dialers, end: end, atHub: benchkit.NewWatch()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, d := range dialers {
		w := benchkit.NewWatch()
		w.Expect(string(hub.Self()))
		s.atHub.Expect(string(d.Self()))
		s.atDialer = append(s.atDialer, w)
		s.follow(d, w)
	}
	s.follow(hub, s.atHub)
	return s
}

// follow tells w of the peers of a node that come and go.
func (s *Star) follow(h *host.Host, w *benchkit.Watch) {
	sub := h.Subscribe(s.ctx)
	s.watching.Go(func() {
		for {
			u, err := sub.Next(s.ctx)
			if err != nil {
				return
			}
			w.Tell(string(u.ID), u.Status == host.PeerUp)
		}
	})
}

// Setup links dialer i and the hub, and returns when both have reported it.
func (s *Star) Setup(i int) error {
	if _, err := s.dialers[i].Dial(s.ctx, s.address); err != nil {
		return err
	}
	return s.await(i, true)
}

// Hangup ends that link, and returns when both have reported it.
func (s *Star) Hangup(i int) error {
	s.dialers[i].Disconnect(s.hub.Self(), muxer.CodeRequested, "")
	return s.await(i, false)
}

func (s *Star) await(i int, up bool) error {
	if !s.atDialer[i].Within(patience, string(s.hub.Self()), up) ||
		!s.atHub.Within(patience, string(s.dialers[i].Self()), up) {
		return fmt.Errorf("not both ends have told of a link that is up=%v", up)
	}
	return nil
}

// Close stops all hosts.
func (s *Star) Close() {
	s.cancel()
	s.watching.Wait()
	s.end()
}
