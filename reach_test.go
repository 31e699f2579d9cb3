package switchyard

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/switchyard-p2p/switchyard/host/admin"
)

// Two nodes tell each other where they see each other, over TCP and over QUIC. A node that listens everywhere knows its
// addresses.
func TestNodesSeeEachOther(t *testing.T) {
	for _, listen := range []string{"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"} {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		start := func() *Node {
			n, err := New(ctx, Listen(listen))
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
			return n
		}
		a, b := start(), start()
		up := a.Host().Subscribe(ctx)
		dialed := false
		for _, addr := range a.Addresses() { // loopback is among them
			if ip, _ := addr.IP(); ip.IsLoopback() && addr.PeerID() != "" {
				_, err := b.Host().Dial(ctx, addr)
				if dialed = err == nil; err != nil {
					t.Error(err)
				}
				break
			}
		}
		if dialed {
			if _, err := up.Next(ctx); err != nil {
				t.Error(err)
			}
			for name, n := range map[string]*Node{"dialed": a, "dialing": b} {
				want := strings.Replace(n.Host().ListenAddrs()[0].String(), "0.0.0.0", "127.0.0.1", 1)
				seen := n.Host().Reach.Observed()
				if shown := admin.Of(n.Host(), nil, nil).Observed(); len(shown) != 1 || shown[0].Address != want {
					t.Errorf("the API shows %v, want %s", shown, want)
				}
				if len(seen) != 1 || seen[0].Address.String() != want || seen[0].Peers != 1 {
					t.Errorf("%s, the %s end: %v, want %s", listen, name, seen, want)
				}
			}
		} else {
			t.Errorf("%s: not linked; addresses %v", listen, a.Addresses())
		}
		up.Close()
		stop()
		wg.Wait()
	}
}
