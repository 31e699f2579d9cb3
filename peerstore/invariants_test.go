package peerstore

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/transport"
)

// checkBook compares all indexes with the entries that they follow from.
func checkBook(b *Book) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	known, tried, wide, more, extras, others, waiting := 0, 0, 0, 0, 0, 0, 0
	var kinds [len(b.ofKind)]int
	sources := make([]uint32, b.sources.all.next+1)
	cells, inWaiting, crowded := 0, make(map[dueItem]bool, len(b.waiting.items)), 0
	for _, i := range b.waiting.items {
		inWaiting[i] = true
	}
	for slot := range b.entries.next {
		e := b.at(slot)
		if !e.is(live) {
			if *e != (entry{}) {
				return fmt.Errorf("slot %d is free and not empty", slot)
			}
			continue
		}
		known++
		k := e.nodeKey()
		if s, _ := b.findKey(&k); s != slot {
			return fmt.Errorf("slot %d is not found by its id", slot)
		}
		set := &b.sets[e.set]
		if e.set == noSet || int(e.pos) >= len(set.slots) || set.slots[e.pos] != slot {
			return fmt.Errorf("slot %d is not in its set %d", slot, e.set)
		}
		if due := b.isDue(e); !due && e.due != never {
			waiting++
			if !inWaiting[dueItem{e.due, slot}] {
				return fmt.Errorf("slot %d waits and is not in the heap", slot)
			}
		} else if due && e.due == never {
			return fmt.Errorf("slot %d is due and may never be dialed", slot)
		}
		if e.is(busy) && (b.isDue(e) || e.set != heldSet && e.set != trustedSet) {
			return fmt.Errorf("slot %d is busy in set %d", slot, e.set)
		}
		if e.is(trusted) != (e.set == trustedSet) {
			return fmt.Errorf("slot %d: trusted in set %d", slot, e.set)
		}
		if e.share != unshared && b.shared[e.share][e.sharePos] != slot {
			return fmt.Errorf("slot %d is not in its set of shareable peers", slot)
		}
		switch has := b.lastWorked(e) != 0; {
		case (e.first.source == 0) != (e.table == Any):
			return fmt.Errorf("slot %d: table %d", slot, e.table)
		case e.table == Tried && !has:
			return fmt.Errorf("slot %d is a tried one that never worked", slot)
		case e.is(kept) && e.cell != 0:
			return fmt.Errorf("slot %d is trusted and in a bucket", slot)
		case e.is(kept) && has && e.table != Tried:
			return fmt.Errorf("slot %d is trusted, has worked and is in table %d", slot, e.table)
		}
		if e.cell != 0 {
			cell := e.cell - 1
			t := b.tableOf(e.table)
			if t.cells(int(cell / bucketSize))[cell%bucketSize] != slot || int(cell%bucketSize) >= t.heads[cell/bucketSize].used() {
				return fmt.Errorf("slot %d is not in its bucket", slot)
			}
			cells++
			if want := b.bucketOf(e, e.table); e.table == New && want != int(cell/bucketSize) && !b.limits.Without.Buckets {
				return fmt.Errorf("slot %d is in bucket %d, not %d", slot, cell/bucketSize, want)
			}
		}
		if e.table == Tried {
			tried++
		}
		if e.is(global) {
			wide++
		}
		if e.extra != 0 {
			extras++
		}
		if which, ok := e.set.weighed(); ok && b.isDue(e) {
			crowded++
			if err := checkCrowd(b, &b.crowds[which], slot, e); err != nil {
				return err
			}
		}
		kinds[e.kind]++
		for k := b.firstOf(e); k != nil; k = b.nextOf(k) {
			sources[k.source]++
			if k != &e.first {
				more++
			}
			if k.other != 0 {
				others++
			}
		}
	}
	for i, t := range b.tables {
		for bucket, head := range t.heads {
			cells -= head.used()
			if head.used() > bucketSize || head.used() > 0 && head>>usedBits == 0 {
				return fmt.Errorf("bucket %d of table %d has %d places taken", bucket, i+1, head.used())
			}
		}
	}
	for which := range b.crowds {
		c := &b.crowds[which]
		lists := 0
		for pos, ref := range c.some {
			if ref.isLoner() {
				crowded--
				if e := b.at(ref.slot()); e.crowdPos != uint32(pos)|alone {
					return fmt.Errorf("the loner %d is listed at %d, and stands at %x", ref.slot(), pos, e.crowdPos)
				}
				continue
			}
			lists++
			of := c.all.at(uint32(ref))
			crowded -= len(of.members)
			if found, ok := c.find(of.group); int(of.pos) != pos || len(of.members) == 0 || !ok || found != ref {
				return fmt.Errorf("the group %v is listed wrongly", of.group)
			}
		}
		if len(c.some) != c.at.n || lists+len(c.all.free) != int(c.all.next) {
			return fmt.Errorf("%d groups listed, %d known, %d with lists, %d free, of %d", len(c.some), c.at.n, lists, len(c.all.free), c.all.next)
		}
	}
	if cells != 0 || crowded != 0 { // each peer is where it should be: then nobody else is there if the numbers are the same
		return fmt.Errorf("%d strangers in buckets, %d in crowds", -cells, -crowded)
	}
	inSets, inShares := 0, 0
	var drawn [4]int
	for id := range b.sets {
		inSets += len(b.sets[id].slots)
		if which, ok := setID(id).weighed(); ok {
			drawn[which] += b.sets[id].due << setID(id).level()
		}
	}
	for _, s := range b.shared {
		inShares += len(s)
	}
	kinds[0], b.ofKind[0] = 0, 0
	switch {
	case known != b.known() || inSets != known:
		return fmt.Errorf("%d peers, %d by id, %d in sets", known, b.known(), inSets)
	case inShares > known:
		return fmt.Errorf("%d shareable peers of %d", inShares, known)
	case tried != b.tried || wide != b.global || kinds != b.ofKind || drawn != b.drawn:
		return fmt.Errorf("totals differ: tried %d %d, global %d %d, kinds %v %v, drawn %v %v", tried, b.tried, wide, b.global, kinds, b.ofKind, drawn, b.drawn)
	case waiting != b.waiting.peers || len(b.waiting.items) > 2*int(b.entries.next)+64: // those of peers that a lifted ban has made due stay until their time comes
		return fmt.Errorf("%d items for %d that wait, of %d counted", len(b.waiting.items), waiting, b.waiting.peers)
	case int(b.more.next)-len(b.more.free) != more || int(b.extras.next)-len(b.extras.free) != extras || int(b.others.next)-len(b.others.free) != others:
		return fmt.Errorf("leaked: further addresses, extras or other forms")
	}
	used := 0
	for at, refs := range sources {
		if at == 0 || refs == 0 {
			continue
		}
		used++
		if b.sources.at(uint32(at)).refs != refs {
			return fmt.Errorf("source %d is used %d times, not %d", at, refs, b.sources.at(uint32(at)).refs)
		}
	}
	if b.sources.index.n != used {
		return fmt.Errorf("%d sources are kept, %d are used", b.sources.index.n, used)
	}
	return nil
}

// checkCrowd compares the place of a peer that may be dialed in the index by network group with what it follows from: the group is that of one of its addresses, and
// the index knows it there.
func checkCrowd(b *Book, c *crowds, slot uint32, e *entry) error {
	if e.crowdPos&alone != 0 {
		g := b.groupOf(&e.first)
		if ref, ok := c.find(g); !ok || ref != loner|groupRef(slot) || e.crowd != c.tag(g) {
			return fmt.Errorf("slot %d is not found as the only one of %v", slot, g)
		}
		return nil
	}
	if e.crowd >= c.all.next || int(e.crowdPos) >= len(c.all.at(e.crowd).members) || c.all.at(e.crowd).members[e.crowdPos] != memberOf(slot, e.set.level()) {
		return fmt.Errorf("slot %d does not stand in its crowd", slot)
	}
	for k := b.firstOf(e); k != nil; k = b.nextOf(k) {
		if b.groupOf(k) == c.all.at(e.crowd).group {
			return nil
		}
	}
	return fmt.Errorf("slot %d stands in the crowd of %v, where it has no address", slot, c.all.at(e.crowd).group)
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
		src := Source{Kind: []string{"pex", "pex", "inbound", "dns"}[c.r.IntN(4)], From: testID(1<<20 + c.r.IntN(40))}
		if c.r.IntN(8) > 0 {
			src.IP = netip.AddrFrom4([4]byte{byte(20 + c.r.IntN(6)), 1, 1, 1})
		}
		c.b.Add(c.address(n), src, c.now)
	case k < 50: // a further address, of another network as a rule
		a, err := c.address(n + 16*(c.peers+1)*(1+c.r.IntN(5))).WithNode(string(id))
		if err != nil {
			t.Fatal(err)
		}
		c.b.Add(a, Source{Kind: "pex", From: testID(1 << 20)}, c.now)
	case k < 80:
		r, ok := c.b.Next(c.now, Query{Table: Table(c.r.IntN(3))})
		if c.r.IntN(3) == 0 {
			r, ok = c.b.Feeler(c.now, Query{})
		}
		if !ok {
			return
		}
		if r.Busy || r.NotBefore.After(c.now) || r.Quarantined.After(c.now) {
			t.Fatalf("%+v is not to be dialed at %v", r, c.now)
		}
		c.b.Update(r.ID, func(r *Record) { r.Busy = true })
		worked := c.r.IntN(3) > 0
		c.b.Update(r.ID, func(r *Record) {
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
		c.b.Update(id, func(r *Record) {
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
		c.b.Ensure(id, c.now, func(r *Record) { r.Busy = c.r.IntN(10) == 0; c.trusted[r.ID] = r.Trusted })
	case k < 96:
		c.b.Remove(id)
		delete(c.trusted, id)
	case k < 98:
		_ = c.b.Ban(Ban{Target: Target{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(11 + n%5), 1, byte(n), 0}), 24)}, Until: c.now.Add(time.Minute)})
	default:
		c.b.Advertise(100, c.now, nil)
		c.b.NextDue(c.now)
	}
}

// TestInvariants does random operations to crowded books, and checks that all indexes agree: after every step in a small book, now and then in a large one.
func TestInvariants(t *testing.T) {
	total := longtest.Count(t, longtest.Ops, 90_000)
	for _, world := range []struct {
		peers, limit, every int
		seed                uint64
	}{{60, 40, 1, 1}, {6000, 4000, 1000, 2}, {20_000, 100_000, 5000, 3}} {
		t.Run(strconv.Itoa(world.peers), func(t *testing.T) {
			c := &stress{
				b: NewBook(Limits{MaxPeers: world.limit, MaxAddresses: 3}, world.seed), r: rand.New(rand.NewPCG(world.seed, 1)),
				now: t0, peers: world.peers, trusted: make(map[transport.NodeID]bool),
			}
			ops := total / 3
			contests, demoted := 0, 0
			for n := range ops {
				before := len(c.b.contests)
				c.step(t)
				if len(c.b.contests) > before {
					contests++
				} else if len(c.b.contests) < before {
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
