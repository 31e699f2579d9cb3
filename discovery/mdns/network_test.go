package mdns

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/internal/programtest"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Two nodes find each other by real multicasts, and neither finds itself.
func TestNodesFindEachOther(t *testing.T) {
	if !programtest.Alone(t) {
		return
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	other := "89abcdef0123456789abcdef0123456789abcdef"
	var wg sync.WaitGroup
	var mu sync.Mutex
	left := map[transport.NodeID]bool{id: true, transport.NodeID(other): true}
	for i, self := range []string{id, other} {
		n := &network{self: self, listen: []ma.Multiaddr{ma.StringCast("/ip4/0.0.0.0/tcp/2665" + string('1'+rune(i)))}}
		s, err := New(Default(), discovery.Env{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := s.Run(ctx, n, func(a transport.Address, _ transport.NodeID) {
				mu.Lock()
				defer mu.Unlock()
				if a.ID() == n.Self() || a.Host() != "10.99.0.1" {
					t.Errorf("%s has found %s", n.self, a)
				}
				if delete(left, a.ID()); len(left) == 0 {
					stop()
				}
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(left) > 0 {
		t.Errorf("not found: %v", left)
	}
}
