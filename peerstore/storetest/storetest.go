// Package storetest checks that a peer store keeps its contract. A store's package calls Run in a test; one that
// persists sets Reopen too.
package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A Factory makes the stores under test. Run skips what is nil.
type Factory struct {
	// New makes an empty store, which t's cleanup closes. Its random choices follow from seed; 0 draws one.
	New func(t testing.TB, limits peerstore.Limits, seed uint64) peerstore.Store
	// Reopen closes a store that New, Reopen or Crash made and opens it again at the given time; nil for a store that
	// does not persist.
	Reopen func(t testing.TB, s peerstore.Store, now time.Time) peerstore.Store
	// Crash is Reopen after a kill instead of a Close.
	Crash func(t testing.TB, s peerstore.Store, now time.Time) peerstore.Store
	// ReopenEvery is the average number of operations of the model test between two calls of Reopen or Crash, if that
	// is more than the test's own.
	ReopenEvery int
	// Copy makes another store by exporting and importing s.
	Copy func(t testing.TB, s peerstore.Store, limits peerstore.Limits, now time.Time) peerstore.Store
	// Check checks the store's own consistency.
	Check func(s peerstore.Store) error
	// Ops is how many operations the model test runs; 0 means 30,000. SWITCHYARD_MODEL_OPS overrides it: see
	// internal/longtest.
	Ops int
}

// make is New with a drawn seed.
func (f Factory) make(t testing.TB, limits peerstore.Limits) peerstore.Store {
	return f.New(t, limits, 0)
}

// Run runs the whole suite.
func Run(t *testing.T, f Factory) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Factory)
	}{
		{"Learn", testLearn},
		{"Update", testUpdate},
		{"Ensure", testEnsure},
		{"Bounds", testBounds},
		{"MaxPeers", testMaxPeers},
		{"Buckets", testBuckets},
		{"MaxAddresses", testMaxAddresses},
		{"Forgetting", testForgetting},
		{"Next", testNext},
		{"NextDue", testNextDue},
		{"NextCallsBack", testNextCallsBack},
		{"Ties", testTies},
		{"Advertise", testAdvertise},
		{"AdvertiseLocal", testAdvertiseLocal},
		{"AdvertiseWays", testAdvertiseWays},
		{"Busy", testBusy},
		{"Reserve", testReserve},
		{"Range", testRange},
		{"Bans", testBans},
		{"BanLimits", testBanLimits},
		{"BannedPeers", testBannedPeers},
		{"Meta", testMeta},
		{"Copies", testCopies},
		{"Concurrent", testConcurrent},
		{"Model", testModel},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, f) })
	}
	if f.Reopen == nil {
		return
	}
	t.Run("Reopen", func(t *testing.T) { testReopen(t, f) })
}

// ID returns node id number n, for tests.
func ID(n int) transport.NodeID { return transport.NodeID(fmt.Sprintf("%040x", n)) }

// Address returns an address of node n on a public network; several ports give several addresses. The nodes are spread
// over 16,384 network groups: those with the same n%16384 share one. No two nodes below 4 million share an IP.
func Address(n, port int) transport.Address {
	return parse(fmt.Sprintf("%s@%d.%d.%d.%d:%d", ID(n), 11+n&0x3f, n>>6&0xff, n>>14&0xff, n>>22&0xff, port))
}

// Told returns the source of node n: each of many nodes, spread over the network groups, reports 100.
func Told(n int) peerstore.Source {
	ip, _ := Address(n/100, 1).IP()
	return peerstore.Source{Kind: "pex", From: ID(n / 100), IP: ip}
}

func parse(s string) transport.Address {
	a, err := transport.ParseAddress(s)
	if err != nil {
		panic(err) // a mistake in a test
	}
	return a
}

// start returns the time at which tests begin: now, because a store that persists compares with the clock when it
// opens.
func start() time.Time { return time.Now().Round(0) }

var pex = peerstore.Source{Kind: "pex"}

func mustGet(t *testing.T, s peerstore.Store, id transport.NodeID) peerstore.Record {
	t.Helper()
	r, ok := s.Get(id)
	if !ok {
		t.Fatalf("%s is not known", id.Short())
	}
	return r
}
