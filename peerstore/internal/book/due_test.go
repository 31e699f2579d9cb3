package book

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// groupAddress is an address of node n in the network group 20.group.
func groupAddress(t *testing.T, n, group int) transport.Address {
	t.Helper()
	a, err := transport.CometAddress(transport.NodeID(fmt.Sprintf("%040x", n)),
		fmt.Sprintf("20.%d.%d.%d", group, n>>8&255, n&255), 26656)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Whoever has nearly all addresses, in one group of eleven, is chosen about one time in eleven.
func TestNextTakesGroupsAlike(t *testing.T) {
	b := New(peerstore.Limits{MaxPeers: 10_000}, 1)
	now := time.Now()
	from := func(n int) peerstore.Source { // one that nobody else has, so that the buckets have room
		return peerstore.Source{Kind: "pex", IP: netip.AddrFrom4([4]byte{30, byte(n >> 8), byte(n), 1})}
	}
	for n := range 1000 {
		b.Add(groupAddress(t, n, 200), from(256*(n%200)), now)
	}
	for n := range 10 {
		b.Add(groupAddress(t, 1000+n, n), from(n), now)
	}
	if known := b.Stats().Known; known < 500 {
		t.Fatal("only", known, "are learned")
	}
	const picks = 2000
	his := 0
	for range picks {
		r, ok := b.Next(now, peerstore.Query{})
		if !ok {
			t.Fatal("nobody")
		}
		if ip, _ := r.Addresses[0].Address.IP(); ip.As4()[1] == 200 {
			his++
		}
	}
	if share := float64(his) / picks; share < 0.05 || share > 0.15 {
		t.Errorf("chosen in %.2f of the picks", share)
	}
}

// The due groups hold those that may be dialed now, all of them and nobody else, whatever happens to peers.
func TestDueGroupsAreConsistent(t *testing.T) {
	b := New(peerstore.Limits{MaxPeers: 500}, 1)
	random := rand.New(rand.NewPCG(1, 1))
	now := time.Now()
	for range 20_000 {
		now = now.Add(time.Duration(random.IntN(1000)) * time.Millisecond)
		n := random.IntN(1000)
		id := transport.NodeID(fmt.Sprintf("%040x", n))
		switch random.IntN(8) {
		case 0:
			b.Remove(id)
		case 1, 2:
			b.Update(id, func(r *peerstore.Record) {
				r.Busy = !r.Busy
				if len(r.Addresses) > 0 && random.IntN(2) == 0 {
					r.Addresses[0].LastSuccess = now
				}
			})
		case 3:
			b.Update(id, func(r *peerstore.Record) { r.NotBefore, r.Failures = now.Add(time.Minute), r.Failures+1 })
		case 4:
			b.Next(now, peerstore.Query{})
		default:
			b.Add(groupAddress(t, n, n%37), peerstore.Source{Kind: "pex"}, now)
		}
	}
	if err := checkBook(b); err != nil {
		t.Fatal(err)
	}
	if b.Stats().Known == 0 {
		t.Fatal("nobody is left to check")
	}
}
