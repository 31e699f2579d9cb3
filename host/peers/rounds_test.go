package peers

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// round is one moment in the life of a dialer: what happens, in this order, and what must follow.
type round struct {
	wait    time.Duration
	restart bool                     // our links end, and a new manager takes the store over
	learn   []transport.NodeID       // addresses that arrive
	score   map[transport.NodeID]int // that peers have earned
	useful  []transport.NodeID       // peers that a service praises, by a point
	ban     []transport.NodeID
	unban   []transport.NodeID
	fail    []transport.NodeID // dials that end: nobody answers
	foreign []transport.NodeID // dials that end: another network
	up      []transport.NodeID // dials that end with a link
	proven  []transport.NodeID // feelers that find their peer
	accept  []transport.NodeID // links from outside
	down    []transport.NodeID // links that end: the remote hangs up

	dials, upgrades, feelers []transport.NodeID // that start now
	evicts                   []transport.NodeID // links that must end now; they do
	counts                   Counts             // checked unless zero
}

// ids lists node ids.
func ids(ids ...transport.NodeID) []transport.NodeID { return ids }

// lows are the first n low ids.
func lows(n int) (out []transport.NodeID) {
	for i := range n {
		out = append(out, lowID(i))
	}
	return out
}

// filled are the rounds after which lows(n) hold n outbound slots, for long enough to be victims of upgrades.
func filled(n int) []round {
	return []round{{learn: lows(n), dials: lows(n)}, {up: lows(n)}, {wait: upgradeAge}}
}

func playRounds(t *testing.T, cfg Config, rounds []round) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, cfg)
		links := map[transport.NodeID]uint64{}
		for i, r := range rounds {
			time.Sleep(r.wait)
			if r.restart {
				m = m.restart(links)
			}
			m.learn(r.learn...)
			for _, id := range slices.Sorted(maps.Keys(r.score)) {
				m.setScore(id, r.score[id])
			}
			for _, id := range r.useful {
				m.Report(id, Behaviour{Points: 1})
			}
			for _, id := range r.ban {
				if err := m.Ban(peerstore.Target{ID: id}, time.Time{}, "test"); err != nil {
					t.Fatal(err)
				}
			}
			for _, id := range r.unban {
				if was, err := m.Unban(peerstore.Target{ID: id}); !was || err != nil {
					t.Fatal(was, err)
				}
			}
			for _, id := range r.fail {
				m.fail(id, errUnreachable)
			}
			for _, id := range r.foreign {
				m.fail(id, otherNetwork(id))
			}
			for _, id := range r.up {
				l, err := m.dialed(id)
				m.settle(id, l, err)
				links[id] = l
			}
			for _, id := range r.proven {
				_, err := m.dialed(id)
				refused(t, err, muxer.CodeInquiryDone, "")
			}
			for _, id := range r.accept {
				links[id] = m.up(id)
			}
			for _, id := range r.down {
				m.down(id, links[id], muxer.CodeRemoteClosed)
			}
			checkRound(t, i, m, r)
		}
	})
}

// checkRound checks what follows from a round.
func checkRound(t *testing.T, i int, m *pm, r round) {
	t.Helper()
	var dials, upgrades, feelers, evicts []transport.NodeID
	for d, ok := m.TryDialNext(); ok; d, ok = m.TryDialNext() {
		switch {
		case d.Upgrade:
			upgrades = append(upgrades, d.ID)
		case d.Feeler:
			feelers = append(feelers, d.ID)
		default:
			dials = append(dials, d.ID)
		}
	}
	for e, ok := m.TryEvictNext(); ok; e, ok = m.TryEvictNext() {
		evicts = append(evicts, e.ID)
		m.down(e.ID, e.LinkID, e.Reason.Code)
	}
	for _, c := range []struct {
		what      string
		got, want []transport.NodeID
	}{{"dials", dials, r.dials}, {"upgrades", upgrades, r.upgrades}, {"feelers", feelers, r.feelers},
		{"evictions", evicts, r.evicts}} {
		if !slices.Equal(slices.Sorted(slices.Values(c.got)), slices.Sorted(slices.Values(c.want))) {
			t.Fatalf("round %d: %s %v, want %v", i, c.what, c.got, c.want)
		}
	}
	if got := m.Counts(); r.counts != (Counts{}) && got != r.counts {
		t.Fatalf("round %d: counts %+v, want %+v", i, got, r.counts)
	}
}

// restart ends all links, as a node does that stops, and returns a manager over the same store.
func (m *pm) restart(links map[transport.NodeID]uint64) *pm {
	m.t.Helper()
	for _, id := range slices.Sorted(maps.Keys(links)) {
		m.down(id, links[id], muxer.CodeShuttingDown)
	}
	clear(links)
	next, err := New(pmSelf, m.cfg, m.store)
	if err != nil {
		m.t.Fatal(err)
	}
	return &pm{Manager: next, t: m.t, store: m.store, last: m.last}
}

func TestDialsInRounds(t *testing.T) {
	a, b, c, d := lowID(1), lowID(2), highID(3), highID(4)
	persistent := []transport.Address{addrOf(t, a, 0)}
	type scores = map[transport.NodeID]int
	for name, tc := range map[string]struct {
		cfg    Config
		rounds []round
	}{
		"slots bound dials and links": {Config{MaxOutbound: 2}, []round{
			{},
			{learn: ids(a), dials: ids(a), counts: Counts{Dialing: 1}},
			{learn: ids(b), dials: ids(b)},
			{learn: ids(c)},
			{up: ids(a, b), counts: Counts{Outbound: 2}},
			{wait: time.Hour},
			{down: ids(a), dials: ids(c), counts: Counts{Outbound: 1, Dialing: 1}},
		}},
		"inbound and outbound links have slots of their own": {Config{MaxOutbound: 1, MaxInbound: 2}, []round{
			{accept: ids(c, d), counts: Counts{Inbound: 2}},
			{learn: ids(a), dials: ids(a)},
			{up: ids(a), counts: Counts{Inbound: 2, Outbound: 1}},
			{learn: ids(b)},
		}},
		"a peer that dialed us is not dialed": {Config{}, []round{
			{accept: ids(a)},
			{learn: ids(a), counts: Counts{Inbound: 1}},
			{down: ids(a)},
			{wait: 2 * time.Second, dials: ids(a)},
		}},
		"no slots, no dials": {Config{MaxOutbound: -1}, []round{{learn: ids(a, b)}, {wait: time.Hour}}},

		"a failure backs off, and the backoff doubles": {Config{MaxOutbound: 2}, []round{
			{learn: ids(a), dials: ids(a)},
			{fail: ids(a)},
			{wait: 999 * time.Millisecond},
			{wait: 252 * time.Millisecond, dials: ids(a)}, // 1 s and at most a quarter
			{fail: ids(a)},
			{wait: 1999 * time.Millisecond},
			{wait: 502 * time.Millisecond, dials: ids(a)},
			{fail: ids(a)},
			{wait: 3999 * time.Millisecond},
			{wait: 1002 * time.Millisecond, dials: ids(a)},
		}},
		"a link that ends at once is a failure": {Config{}, []round{
			{learn: ids(a), dials: ids(a)},
			{fail: ids(a)},
			{wait: 1250 * time.Millisecond, dials: ids(a)},
			{up: ids(a)},
			{wait: 9 * time.Second, down: ids(a)}, // the second in a row
			{wait: 1999 * time.Millisecond},
			{wait: 502 * time.Millisecond, dials: ids(a)},
			{up: ids(a)},
			{wait: 11 * time.Second, down: ids(a)}, // a success
			{wait: 999 * time.Millisecond},
			{wait: 252 * time.Millisecond, dials: ids(a)},
			{fail: ids(a)},
			{wait: 1250 * time.Millisecond, dials: ids(a)},
		}},
		"trusted peers need no slot and are retried for ever": {Config{MaxOutbound: 1, Persistent: persistent}, []round{
			{learn: ids(b), dials: ids(a, b)},
			{fail: ids(a), up: ids(b)},
			{wait: 1250 * time.Millisecond, dials: ids(a)},
			{up: ids(a), counts: Counts{Outbound: 1, Trusted: 1}},
			{wait: time.Minute, down: ids(a), learn: ids(c)},
			{wait: 2 * time.Second, dials: ids(a)},
		}},
		"a peer of another network is left alone for six hours": {Config{}, []round{
			{learn: ids(a), dials: ids(a)},
			{foreign: ids(a)},
			{wait: 6*time.Hour - 1},
			{wait: 1, dials: ids(a)},
		}},
		"but a trusted one for a minute": {Config{Persistent: persistent}, []round{
			{dials: ids(a)},
			{foreign: ids(a)},
			{wait: time.Minute - 1},
			{wait: 1, dials: ids(a)},
		}},
		"a banned peer is not dialed until the ban is lifted": {Config{}, []round{
			{learn: ids(a), ban: ids(a)},
			{wait: time.Hour},
			{unban: ids(a), dials: ids(a)},
		}},

		"anchors are dialed first after a restart": {Config{MaxOutbound: 3, Anchors: 3}, []round{
			{learn: ids(a, b, c), dials: ids(a, b, c)},
			{up: ids(a, b, c)},
			{restart: true, learn: lows(100)[5:], dials: ids(a, b, c)}, // peers that have filled the store meanwhile
		}},

		"an upgrade replaces the worst peer, once it is up": {Config{MaxOutbound: 8, MaxUpgrades: 2}, append(filled(8),
			round{learn: ids(c, d), score: scores{c: upgradeMargin - 1, lowID(5): -1}}, // not clearly better
			round{score: scores{c: upgradeMargin}, upgrades: ids(c)},
			round{wait: time.Second, counts: Counts{Outbound: 8, Dialing: 1}},
			round{up: ids(c), evicts: ids(lowID(5)), counts: Counts{Outbound: 8}},
			round{wait: evictedBackoff - time.Second},
		)},
		"an upgrade that fails replaces nobody": {Config{MaxOutbound: 8}, append(filled(8),
			round{learn: ids(c), score: scores{c: 50}, upgrades: ids(c)},
			round{fail: ids(c), counts: Counts{Outbound: 8}},
		)},
		"an upgrade takes a slot that is free by then": {Config{MaxOutbound: 6}, append(filled(6),
			round{learn: ids(c), score: scores{c: 50}, upgrades: ids(c)},
			round{down: ids(lowID(3)), counts: Counts{Outbound: 5, Dialing: 1}},
			round{up: ids(c), counts: Counts{Outbound: 6}},
		)},
		"useful peers make no room for more useful ones": {Config{MaxOutbound: 8}, append(filled(8),
			round{useful: lows(8), learn: ids(c), score: scores{c: 100}},
			round{score: scores{lowID(5): -1}, upgrades: ids(c)}, // unless they misbehave
			round{up: ids(c), evicts: ids(lowID(5))},
		)},
		"the only outbound peer is protected": {Config{MaxOutbound: 1}, append(filled(1),
			round{learn: ids(c), score: scores{c: 100}},
		)},

		"feelers test one address at a time while all slots are full": {Config{MaxOutbound: 1, Feelers: time.Minute},
			[]round{
				{learn: ids(a), dials: ids(a)},
				{up: ids(a), learn: ids(b)},
				{wait: 90 * time.Second, feelers: ids(b), counts: Counts{Outbound: 1, Dialing: 1}},
				{wait: time.Hour, learn: ids(c)},
				{proven: ids(b), feelers: ids(c)},
				{fail: ids(c), counts: Counts{Outbound: 1}},
			}},
	} {
		t.Run(name, func(t *testing.T) { playRounds(t, tc.cfg, tc.rounds) })
	}
}
