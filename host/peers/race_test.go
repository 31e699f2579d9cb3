package peers

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Routers, services, subscribers and operators use one manager at once; run it with -race. At the end nothing is left
// over.
func TestConcurrentUse(t *testing.T) {
	const peers, rounds = 64, 400
	ids := make([]transport.NodeID, peers)
	for i := range ids {
		ids[i] = lowID(i)
		if i%2 == 1 {
			ids[i] = highID(i)
		}
	}
	m := newPM(t, Config{Persistent: []transport.Address{addrOf(t, ids[0], 0)}, MaxOutbound: 8, MaxInbound: 16,
		Feelers: time.Millisecond, Churn: 10 * time.Millisecond, OutboundPerGroup: 2, ConnectionsPerIP: 1000,
		ConnectionsPerGroup: 1000,
		MinBackoff:          time.Microsecond, MaxBackoff: time.Millisecond, MaxTrustedBackoff: time.Millisecond,
		StableAfter: time.Nanosecond})
	ctx, cancel := context.WithCancel(t.Context())
	var workers, loops sync.WaitGroup
	var names atomic.Uint64
	var mu sync.Mutex
	live := map[uint64]transport.NodeID{}
	end := func(id transport.NodeID, link uint64, code muxer.Code) { // each link ends once, as with the router
		mu.Lock()
		_, ok := live[link]
		delete(live, link)
		mu.Unlock()
		if ok {
			m.Disconnected(id, link, &DisconnectError{Code: code})
		}
	}
	arrive := func(rng *rand.Rand, id transport.NodeID, outbound bool) {
		a := Arrival{ID: id, LinkID: names.Add(1), Confirms: rng.IntN(2) == 0}
		a.IP, _ = addrOf(t, id, 0).IP()
		if !outbound && rng.IntN(2) == 0 { // a crowd
			a.IP = netip.AddrFrom4([4]byte{9, 9, byte(rng.IntN(256)), byte(rng.IntN(256))})
		}
		var err error
		if outbound {
			a.Dialed = addrOf(t, id, 0)
			err = m.Arrived(dialed(a))
		} else {
			err = m.Arrived(accepted(a))
		}
		if err != nil {
			return
		}
		mu.Lock()
		live[a.LinkID] = id
		mu.Unlock()
		if dup := m.establish(id, a.LinkID); dup != 0 {
			end(id, dup, muxer.CodeDuplicate)
		}
		m.Ready(id, a.LinkID, a.LinkID, []byte{1})
		if rng.IntN(4) > 0 {
			end(id, a.LinkID, muxer.CodeRemoteClosed)
		}
	}
	for range 2 {
		loops.Go(func() { // dial loop
			rng := rand.New(rand.NewPCG(names.Add(1), 1))
			for {
				d, err := m.DialNext(ctx)
				if err != nil {
					return
				}
				if rng.IntN(3) == 0 {
					m.DialFailed(d.ID, []DialFailure{{d.Addresses[0], errUnreachable}})
				} else {
					arrive(rng, d.ID, true)
				}
			}
		})
		loops.Go(func() { // evict loop
			for {
				e, err := m.EvictNext(ctx)
				if err != nil {
					return
				}
				end(e.ID, e.LinkID, e.Reason.Code)
			}
		})
		s := m.Subscribe(ctx)
		loops.Go(func() {
			up := map[transport.NodeID]bool{}
			for {
				u, err := s.Next(ctx)
				if err != nil {
					return
				}
				if (u.Status == Up) == up[u.ID] {
					t.Errorf("update %+v, and it was %v", u, up[u.ID])
				}
				up[u.ID] = u.Status == Up
			}
		})
	}
	for w := range 4 {
		workers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 2))
			for range rounds {
				id := ids[rng.IntN(peers)]
				switch rng.IntN(12) {
				case 0, 1, 2:
					arrive(rng, id, false)
				case 3:
					m.Add(addrOf(t, id, rng.IntN(3)), peerstore.Source{Kind: "pex"})
				case 4:
					m.Report(id, Behaviour{Points: rng.IntN(40) - 10, Severity: Severity(rng.IntN(4))})
				case 5:
					m.Peers()
					m.Tally()
					m.Scores()
					m.Status(id)
					m.Counts()
				case 6:
					m.Advertise(id, 5)
					m.NeedsPeers()
					m.Addresses(id)
				case 7:
					if id != ids[0] {
						_ = m.Ban(peerstore.Target{ID: id}, time.Now().Add(time.Minute), "x")
						_, _ = m.Unban(peerstore.Target{ID: id})
					}
				case 8:
					_ = m.CheckKey(id, netip.Addr{}, muxer.Listener)
					_ = m.CheckAccept(netip.MustParseAddr("1.2.3.4"))
				case 9:
					if m.BeginDial(addrOf(t, id, 0)) == nil {
						arrive(rng, id, true)
					}
				case 10:
					m.Manager.Disconnect(id, nil)
				case 11:
					m.Subscribe(ctx).Close()
					m.SetHeight(id, 5)
					m.SetLatency(id, time.Millisecond)
				}
			}
		})
	}
	workers.Wait()
	cancel()
	loops.Wait()
	for link, id := range live {
		m.Disconnected(id, link, &DisconnectError{Code: muxer.CodeRemoteClosed})
	}
	if c := m.Counts(); c != (Counts{}) {
		t.Errorf("counts %+v", c)
	}
	if len(m.peers)+len(m.links)+len(m.byIP)+len(m.byGroup) != 0 || len(m.Peers()) != 0 {
		t.Errorf("left over: %d peers, %d links, %d IPs, %d groups", len(m.peers), len(m.links),
			len(m.byIP), len(m.byGroup))
	}
}
