package book

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// checkBook compares all indexes with the entries that they follow from.
func checkBook(b *Book) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &b.c
	var tried, world, waiting, filed, shared, inBuckets, isDue int
	kinds := map[*kind]int{}
	told := map[*source]int{}
	for key, e := range c.peers {
		switch has := e.lastWorked() != 0; {
		case e.key != key || e.is(gone):
			return fmt.Errorf("%s is found as %v, gone %v", e.id(), key, e.is(gone))
		case e.rank >= ranks || c.ranks[e.rank][e.places[byRank]] != e:
			return fmt.Errorf("%s is not in its rank %d", e.id(), e.rank)
		case e.is(trusted) != (e.rank == trustedRank):
			return fmt.Errorf("%s is trusted in rank %d", e.id(), e.rank)
		case e.is(busy) && (e.group != nil || e.due != never || e.rank > busyRank):
			return fmt.Errorf("%s is busy in rank %d, and due at %d", e.id(), e.rank, e.due)
		case (len(e.addresses) == 0) != (e.table == peerstore.Any):
			return fmt.Errorf("%s is in table %d with %d addresses", e.id(), e.table, len(e.addresses))
		case e.table == peerstore.Tried && !has:
			return fmt.Errorf("%s is a tried one that never worked", e.id())
		case e.is(kept) && e.bucket != 0:
			return fmt.Errorf("%s is kept and in a bucket", e.id())
		case e.is(kept) && has && e.table != peerstore.Tried:
			return fmt.Errorf("%s is kept, has worked and is in table %d", e.id(), e.table)
		case e.share != unshared && c.shares.sets[e.share][e.places[byShare]] != e:
			return fmt.Errorf("%s is not in its set of shareable peers", e.id())
		case e.details != &noDetails && *e.details == noDetails:
			return fmt.Errorf("%s has empty details", e.id())
		}
		filed++
		tried += b2i(e.table == peerstore.Tried)
		world += b2i(e.is(worldwide))
		shared += b2i(e.share != unshared)
		if e.bucket != 0 {
			inBuckets++
			if !slices.Contains(c.buckets.tables[e.table-1][e.bucket-1], e) {
				return fmt.Errorf("%s is not in its bucket", e.id())
			}
			if want := c.buckets.at(e, e.table); e.table == peerstore.New && want != e.bucket-1 {
				return fmt.Errorf("%s is in bucket %d, not %d", e.id(), e.bucket-1, want)
			}
		}
		if e.group == nil && e.due != never {
			waiting++
			if !c.due.waiting.Has(waiter{e.due, e}) {
				return fmt.Errorf("%s does not wait for %d", e.id(), e.due)
			}
		}
		if e.group != nil {
			isDue++
			if err := checkGroup(c, e); err != nil {
				return err
			}
		}
		for i := range e.addresses {
			a := &e.addresses[i]
			told[a.source]++
			if a.counted != (i == 0 && e.table == peerstore.New && !e.is(kept)) {
				return fmt.Errorf("%s, address %d: counted %v in table %d", e.id(), i, a.counted, e.table)
			}
			kinds[a.source.kind] += b2i(a.counted)
		}
	}
	// Each entry is where it should be: so nobody else is there if the numbers are the same.
	for _, rank := range c.ranks {
		filed -= len(rank)
	}
	for _, set := range c.shares.sets {
		shared -= len(set)
	}
	for _, table := range c.buckets.tables {
		for _, bucket := range table {
			inBuckets -= len(bucket)
			if len(bucket) > bucketSize {
				return fmt.Errorf("a bucket of %d", len(bucket))
			}
		}
	}
	isDue -= len(c.due.trusted.members)
	for n := range c.due.parts {
		p := &c.due.parts[n]
		for i, g := range p.groups {
			isDue -= len(g.members)
			if int(g.place) != i || g.part != p || p.byID[g.id] != g || len(g.members) == 0 {
				return fmt.Errorf("the group %v with %d members is filed wrongly", g.id, len(g.members))
			}
		}
		if len(p.byID) != len(p.groups) {
			return fmt.Errorf("%d groups, %d by id", len(p.groups), len(p.byID))
		}
	}
	switch {
	case filed != 0 || shared != 0 || inBuckets != 0 || isDue != 0:
		return fmt.Errorf("strangers: %d in ranks, %d in shares, %d in buckets, %d due", -filed, -shared, -inBuckets,
			-isDue)
	case waiting != c.due.waiting.Len():
		return fmt.Errorf("%d wait, %d are filed so", waiting, c.due.waiting.Len())
	case tried != c.tried || world != c.shares.worldwide:
		return fmt.Errorf("%d tried, counted %d; %d worldwide, counted %d", tried, c.tried, world, c.shares.worldwide)
	case len(told) != len(c.sources.all):
		return fmt.Errorf("%d sources, %d are kept", len(told), len(c.sources.all))
	}
	for src, n := range told {
		if src.addresses != n || c.sources.all[src.Source] != src {
			return fmt.Errorf("%+v has told %d addresses, counted %d", src.Source, n, src.addresses)
		}
	}
	for name, k := range c.sources.kinds {
		if k.fresh != kinds[k] {
			return fmt.Errorf("%d new peers of kind %q, counted %d", kinds[k], name, k.fresh)
		}
	}
	return nil
}

// checkGroup checks the place of an entry that is due: the group is that of one of its addresses.
func checkGroup(c *catalog, e *entry) error {
	g := e.group
	if int(e.places[byGroup]) >= len(g.members) || g.members[e.places[byGroup]] != e {
		return fmt.Errorf("%s is not in its group", e.id())
	}
	if g.part == nil {
		if g != &c.due.trusted || !e.is(trusted) {
			return fmt.Errorf("%s is due among the trusted", e.id())
		}
		return nil
	}
	if g.part != &c.due.parts[2*e.reach()+reach(e.table-1)] {
		return fmt.Errorf("%s is due in a wrong part", e.id())
	}
	for i := range e.addresses {
		if c.limits.Groups.Of(e.where(&e.addresses[i])) == g.id {
			return nil
		}
	}
	return fmt.Errorf("%s is due in %v, where it has no address", e.id(), g.id)
}

// stress is a world in which buckets overflow: many peers in few groups, told by few.
type stress struct {
	b       *Book
	r       *rand.Rand
	now     time.Time
	peers   int
	trusted map[transport.NodeID]bool
}

func (c *stress) address(n int) transport.Address {
	text := fmt.Sprintf("%s@%d.1.%d.%d:26656", testID(n), 11+n%5, n>>8&255, n&255)
	switch n % 16 {
	case 1:
		text = fmt.Sprintf("/dns/n%d.example.com/tcp/26656/mconn/%s", n, testID(n))
	case 2:
		text = fmt.Sprintf("%s@10.1.%d.%d:26656", testID(n), n>>8&255, n&255)
	case 3:
		text = fmt.Sprintf("%s@[2600:%x::%x]:%d", testID(n), n%3, n&0xffff, 1+n%1000)
	}
	a, err := transport.ParseAddress(text)
	if err != nil {
		panic(err)
	}
	return a
}

func (c *stress) step(t *testing.T) {
	c.now = c.now.Add(time.Duration(c.r.IntN(4000)) * time.Millisecond)
	if c.r.IntN(20_000) == 0 {
		c.now = c.now.Add(8 * 24 * time.Hour)
	}
	if c.r.IntN(5000) == 0 { // the clock is set back
		c.now = c.now.Add(-2 * time.Hour)
	}
	n := c.r.IntN(c.peers)
	id := testID(n)
	switch k := c.r.IntN(100); {
	case k < 40:
		src := peerstore.Source{Kind: []string{"pex", "pex", "inbound", "dns"}[c.r.IntN(4)],
			From: testID(1<<20 + c.r.IntN(40))}
		if c.r.IntN(8) > 0 {
			src.IP = netip.AddrFrom4([4]byte{byte(20 + c.r.IntN(6)), 1, 1, 1})
		}
		c.b.Add(c.address(n), src, c.now)
	case k < 50: // a further address, mostly of another network
		a, err := c.address(n + 16*(c.peers+1)*(1+c.r.IntN(5))).WithNode(string(id))
		if err != nil {
			t.Fatal(err)
		}
		c.b.Add(a, peerstore.Source{Kind: "pex", From: testID(1 << 20)}, c.now)
	case k < 80:
		r, ok := c.b.Next(c.now, peerstore.Query{Table: peerstore.Table(c.r.IntN(3))})
		if c.r.IntN(3) == 0 {
			r, ok = c.b.Feeler(c.now, peerstore.Query{})
		}
		if !ok {
			return
		}
		if r.Busy || r.NotBefore.After(c.now) || r.Quarantined.After(c.now) {
			t.Fatalf("%+v is not to be dialed at %v", r, c.now)
		}
		c.b.Update(r.ID, func(r *peerstore.Record) { r.Busy = true })
		worked := c.r.IntN(3) > 0
		c.b.Update(r.ID, func(r *peerstore.Record) {
			a := &r.Addresses[c.r.IntN(len(r.Addresses))]
			a.LastDialed = c.now
			if r.Busy = c.r.IntN(50) == 0; worked {
				a.LastSuccess, a.Failures, r.Failures = c.now, 0, 0
			} else {
				a.Failures++
				r.Failures++
				a.LastError = "refused " + strconv.Itoa(c.r.IntN(300))
			}
			r.NotBefore = c.now.Add(time.Duration(c.r.IntN(3600)) * time.Second)
		})
	case k < 88:
		c.b.Update(id, func(r *peerstore.Record) {
			switch c.r.IntN(6) {
			case 0:
				r.Trusted = c.r.IntN(4) == 0
			case 1:
				r.Unconditional = c.r.IntN(4) == 0
			case 2:
				r.Busy = false
			case 3:
				r.Score, r.Height = int16(c.r.IntN(201)-100), uint64(n)
			case 4:
				r.Quarantined, r.QuarantineReason = c.now.Add(time.Minute), "x"
			case 5:
				slices.Reverse(r.Addresses)
			}
			c.trusted[r.ID] = r.Trusted
		})
	case k < 92:
		c.b.Ensure(id, c.now, func(r *peerstore.Record) { r.Busy = c.r.IntN(10) == 0; c.trusted[r.ID] = r.Trusted })
	case k < 96:
		c.b.Remove(id)
		delete(c.trusted, id)
	case k < 98:
		_ = c.b.Ban(peerstore.Ban{Target: peerstore.Target{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(11 +
			n%5), 1, byte(n), 0}), 24)}, Until: c.now.Add(time.Minute)})
	default:
		c.b.Advertise(100, c.now, nil)
		c.b.NextDue(c.now)
	}
}

// TestInvariants does random operations to crowded books, and checks that all indexes agree: after every step in a
// small book, now and then in a large one.
func TestInvariants(t *testing.T) {
	total := longtest.Count(t, longtest.Ops, 90_000)
	for _, world := range []struct {
		peers, limit, every int
		seed                uint64
	}{{60, 40, 1, 1}, {6000, 4000, 1000, 2}, {20_000, 100_000, 5000, 3}} {
		t.Run(strconv.Itoa(world.peers), func(t *testing.T) {
			c := &stress{
				b:   New(peerstore.Limits{MaxPeers: world.limit, MaxAddresses: 3}, world.seed),
				r:   rand.New(rand.NewPCG(world.seed, 1)),
				now: t0, peers: world.peers, trusted: make(map[transport.NodeID]bool),
			}
			ops := total / 3
			contests, demoted := 0, 0
			for n := range ops {
				before := len(c.b.c.contests)
				c.step(t)
				if len(c.b.c.contests) > before {
					contests++
				} else if len(c.b.c.contests) < before {
					demoted++
				}
				if n%world.every == 0 || n == ops-1 {
					if err := checkBook(c.b); err != nil {
						t.Fatalf("step %d: %v", n, err)
					}
					for id, want := range c.trusted {
						if r, ok := c.b.Get(id); want && (!ok || !r.Trusted) {
							t.Fatalf("step %d: the trusted %s was lost", n, id)
						}
					}
					if s := c.b.Stats(); s.Known > world.limit+len(c.trusted)+world.peers/10 {
						t.Fatalf("step %d: %+v", n, s)
					}
				}
			}
			t.Logf("%+v, %d contests begun, %d decided", c.b.Stats(), contests, demoted)
		})
	}
}
