package peerstore

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// checkBook compares all indexes with the entries that they follow from.
func checkBook(b *Book) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	known, tried, wide, more, extras, others, waiting := 0, 0, 0, 0, 0, 0, 0
	var kinds [len(b.ofKind)]int
	sources := make(map[uint32]uint32)
	inCell := make(map[uint32]bool)
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
			if !slices.Contains(b.waiting.items, dueItem{e.due, slot}) {
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
			if t.cells[cell/bucketSize][cell%bucketSize] != slot || cell%bucketSize >= uint32(t.used[cell/bucketSize]) {
				return fmt.Errorf("slot %d is not in its bucket", slot)
			}
			inCell[cell<<1|uint32(e.table-1)] = true
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
		for bucket, used := range t.used {
			for at := range used {
				if !inCell[uint32(bucket*bucketSize+int(at))<<1|uint32(i)] {
					return fmt.Errorf("a bucket of table %d holds a stranger", i+1)
				}
			}
		}
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
	case len(b.waiting.items) > 2*waiting+64:
		return fmt.Errorf("%d items for %d that wait", len(b.waiting.items), waiting)
	case int(b.more.next)-len(b.more.free) != more || int(b.extras.next)-len(b.extras.free) != extras || int(b.others.next)-len(b.others.free) != others:
		return fmt.Errorf("leaked: further addresses, extras or other forms")
	case len(b.sources.index) != len(sources):
		return fmt.Errorf("%d sources are kept, %d are used", len(b.sources.index), len(sources))
	}
	for at, refs := range sources {
		if b.sources.at(at).refs != refs {
			return fmt.Errorf("source %d is used %d times, not %d", at, refs, b.sources.at(at).refs)
		}
	}
	return nil
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
	n := c.r.IntN(c.peers)
	id := testID(n)
	switch k := c.r.IntN(100); {
	case k < 40:
		src := Source{Kind: []string{"pex", "pex", "inbound", "dns"}[c.r.IntN(4)], From: testID(1<<20 + c.r.IntN(40))}
		if c.r.IntN(8) > 0 {
			src.IP = netip.AddrFrom4([4]byte{byte(20 + c.r.IntN(6)), 1, 1, 1})
		}
		c.b.Add(c.address(n), src, c.now)
	case k < 50: // a second address, of the same network
		a, err := c.address(n + 16*c.peers).WithNode(string(id))
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

// opsEnv is storetest.OpsEnv.
const opsEnv = "SWITCHYARD_MODEL_OPS"

// TestInvariants does random operations to crowded books, and checks that all indexes agree: after every step in a small book, now and then in a large one.
func TestInvariants(t *testing.T) {
	ops := 30_000
	if text := os.Getenv(opsEnv); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		ops = n
	}
	for _, world := range []struct {
		peers, limit, every int
		seed                uint64
	}{{60, 40, 1, 1}, {6000, 4000, 1000, 2}, {20_000, 100_000, 5000, 3}} {
		t.Run(strconv.Itoa(world.peers), func(t *testing.T) {
			c := &stress{
				b: NewBook(Limits{MaxPeers: world.limit, MaxAddresses: 3}, world.seed), r: rand.New(rand.NewPCG(world.seed, 1)),
				now: t0, peers: world.peers, trusted: make(map[transport.NodeID]bool),
			}
			ops := ops
			if world.every == 1 && ops > 1_000_000 {
				ops = 1_000_000
			}
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
