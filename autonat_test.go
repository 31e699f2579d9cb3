package switchyard

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/autonat"
	"github.com/switchyard-p2p/switchyard/internal/stock"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Two of our nodes dial each other back, over TCP and QUIC: the proof arrives, on an address where nobody listens it
// does not, and a node that takes no guests has the other one's word alone.
func TestNodesDialBack(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	start := func(opts ...Option) (*Node, *autonat.Service) {
		n, err := New(ctx, append([]Option{Listen("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1")}, opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		s, err := autonat.New(autonat.Config{Serve: true, Loopback: true}, n.Host(), stock.Prober("test", log), log)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := n.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		if err := n.Host().WaitListening(ctx); err != nil {
			t.Fatal(err)
		}
		return n, s
	}
	ask := func(n *Node, s *autonat.Service, of *Node) map[string]autonat.Judged {
		t.Helper()
		for _, a := range of.Addresses() {
			if a.Wire() == transport.WireLibp2p {
				if _, err := n.Host().Dial(ctx, a); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		r, err := s.Ask(ctx)
		if err != nil || len(r.Peers) != 1 || len(r.Addresses) < 2 {
			t.Fatalf("%+v, %v", r, err)
		}
		by := map[string]autonat.Judged{}
		for _, a := range r.Addresses {
			by[a.Address] = a
		}
		return by
	}
	a, _ := start()
	b, asks := start()
	for address, got := range ask(b, asks, a) {
		if got.Verdict != autonat.Reachable || !got.Proven || len(got.Answers) != 1 {
			t.Errorf("%s: %+v", address, got)
		}
	}
	c, asks := start(Tune(func(cfg *host.Config) { cfg.Peers.Guests = -1 }))
	for address, got := range ask(c, asks, a) {
		if got.Verdict != autonat.Reachable || got.Proven || !strings.Contains(got.Why, "peers.guests") {
			t.Errorf("%s without guests: %+v", address, got)
		}
	}
	closed, err := transport.ParseListen("/ip4/127.0.0.1/tcp/1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := transport.ParseListen("/ip4/127.9.9.9/tcp/1")
	if err != nil {
		t.Fatal(err)
	}
	d, asks := start(Tune(func(cfg *host.Config) { cfg.External = append(cfg.External, closed, other) }))
	got := ask(d, asks, a)
	if v := got[closed.String()]; v.Verdict != autonat.Unreachable {
		t.Errorf("where nobody listens: %+v", v)
	}
	if v := got[other.String()]; v.Verdict != autonat.Unknown || !strings.Contains(v.Why, "not dial this address") {
		t.Errorf("another IP: %+v", v)
	}
}
