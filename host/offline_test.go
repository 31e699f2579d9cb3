package host

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// failingTransport fails each dial after a while.
type failingTransport struct {
	noTransport
	dials atomic.Int64
	after time.Duration
	err   error
}

func (f *failingTransport) CanDial(ma.Multiaddr) bool { return true }
func (f *failingTransport) Dial(ctx context.Context, m ma.Multiaddr) (transport.Conn, error) {
	f.dials.Add(1)
	time.Sleep(f.after)
	return nil, transport.NewOpError(ctx, "dial", m, f.err)
}

// knownBy returns all that the store of a host knows.
func knownBy(h *Host) map[transport.NodeID]peerstore.Record {
	out := map[transport.NodeID]peerstore.Record{}
	h.cfg.Store.Range(func(r peerstore.Record) bool {
		out[r.ID] = r
		return true
	})
	return out
}

// A host that knows 10,000 peers and has no route to any of them dials a few a second, and nothing changes that it
// knows of them.
func TestNoRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, noRoute := testConfig(), &failingTransport{err: &net.OpError{Op: "dial", Err: syscall.ENETUNREACH}}
		cfg.Transports = []transport.Transport{noRoute}
		h, _ := newTestHost(t, cfg)
		for i := range 10_000 {
			a := mustAddress(t, fmt.Sprintf("/ip4/%d.%d.1.1/tcp/26656/mconn/%040x", 1+i/250, i%250, i+1))
			if err := h.peers.Add(a, peerstore.Source{Kind: peerstore.SourceConfig}); err != nil {
				t.Fatal(err)
			}
		}
		before := knownBy(h)
		stop := run(t, h)
		const minutes = 10
		time.Sleep(minutes * time.Minute)
		synctest.Wait()
		after := knownBy(h) // the stop ends a dial, which leaves a trace
		stop()
		if n := noRoute.dials.Load(); n < 60*minutes || n > 3*60*minutes {
			t.Errorf("%d dials in %d minutes", n, minutes)
		}
		if !reflect.DeepEqual(before, after) {
			for id, r := range after {
				if !reflect.DeepEqual(r, before[id]) {
					t.Fatalf("%+v\nhas become\n%+v", before[id], r)
				}
			}
		}
	})
}

// That our node stood still during a dial is not held against the peer.
func TestOurStallIsNotChargedToDials(t *testing.T) {
	for _, stalled := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg, slow := testConfig(), &failingTransport{after: 5 * time.Second, err: context.DeadlineExceeded}
			if stalled {
				slow.after = 32 * time.Second // longer than its deadline
			}
			cfg.Transports = []transport.Transport{slow}
			h, _ := newTestHost(t, cfg)
			a := mustAddress(t, fmt.Sprintf("/ip4/1.2.3.4/tcp/26656/mconn/%040x", 1))
			if err := h.peers.Add(a, peerstore.Source{Kind: "pex"}); err != nil {
				t.Fatal(err)
			}
			stop := run(t, h)
			time.Sleep(slow.after + time.Second/2)
			st, _ := h.peers.Status(a.ID())
			rec, _ := h.cfg.Store.Get(a.ID())
			if failed := rec.Addresses[0].Failures == 1; failed == stalled {
				t.Errorf("stalled %v: %+v, %+v", stalled, st, rec)
			}
			time.Sleep(time.Minute)
			stop()
		})
	}
}
