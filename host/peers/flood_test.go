package peers

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// flood plays an attacker with any number of node ids in some network groups against the inbound slots of a node that
// has honest peers.
type flood struct {
	m      *pm
	rng    *rand.Rand
	honest map[transport.NodeID]uint64 // those that are linked
	ip     map[transport.NodeID]netip.Addr
	enemy  map[transport.NodeID]uint64
	next   int
}

// come lets a peer dial us; it says whether it is up.
func (f *flood) come(id transport.NodeID, ip netip.Addr) (uint64, bool) {
	a := f.m.arrival(id)
	a.IP, f.ip[id] = ip, ip
	if err := f.m.Arrived(accepted(a)); err != nil {
		return 0, false
	}
	if f.rng.IntN(10) == 0 { // it goes before it is up: nobody may have lost a place for it
		f.m.down(id, a.LinkID, muxer.CodeRemoteClosed)
		return 0, false
	}
	f.m.Established(id, a.LinkID)
	if !f.m.Ready(id, a.LinkID, a.LinkID, nil) {
		return 0, false
	}
	return a.LinkID, true
}

// crowd is how many links a network group has, before what is about to end has ended.
func (f *flood) crowd(group peerstore.Group) (n int) {
	for _, l := range f.m.links {
		if l.group == group && l.reason == nil {
			n++
		}
	}
	return n
}

// attack lets one more node of the attacker dial us, and checks whom that costs the place.
func (f *flood) attack(t *testing.T, ip netip.Addr, safe []transport.NodeID) {
	id := highID(f.next)
	f.next++
	newcomers := f.crowd(f.m.groupOf(ip)) + 1
	link, up := f.come(id, ip)
	if up {
		f.enemy[id] = link
		f.m.Report(id, Behaviour{Points: 100}) // it is useful, and near
		f.m.SetLatency(id, time.Microsecond)
	}
	evicted := 0
	for {
		e, ok := f.m.TryEvictNext()
		if !ok {
			break
		}
		if e.ID != id {
			evicted++
			crowd := f.crowd(f.m.groupOf(f.ip[e.ID])) + 1
			if !up || crowd <= newcomers {
				t.Fatalf("%s of a crowd of %d makes room for the newcomer that made a crowd of %d (up: %v)", e.ID,
					crowd, newcomers, up)
			}
			if slices.Contains(safe, e.ID) {
				t.Fatalf("the protected %s had to go", e.ID)
			}
		}
		f.m.down(e.ID, e.LinkID, e.Reason.Code)
		delete(f.honest, e.ID)
		delete(f.enemy, e.ID)
	}
	if evicted > 1 {
		t.Fatalf("one newcomer cost %d their places", evicted)
	}
}

// Whatever an attacker does, with however many connections from however many network groups: the oldest quarter keeps
// its places, and so does a peer that is alone in its network group; no group loses a link to one that has as many.
func TestFloodsTakeNoPlacesOfProtectedPeers(t *testing.T) {
	const slots = 40
	for seed := range uint64(24) {
		groups := []int{1, 2, 4, 16, 64, 256}[seed%6]
		join := seed%4 == 0 // half of the attacker's addresses are in the groups of honest peers
		m := newPM(t, Config{Seed: seed + 1, MaxInbound: slots, ConnectionsPerGroup: 1000, ConnectionsPerIP: 1000})
		f := &flood{m: m, rng: rand.New(rand.NewPCG(seed, 9)), honest: map[transport.NodeID]uint64{},
			ip: map[transport.NodeID]netip.Addr{}, enemy: map[transport.NodeID]uint64{}}
		perGroup := map[int][]transport.NodeID{}
		var honest []transport.NodeID
		for i := range slots - f.rng.IntN(20) {
			group := f.rng.IntN(25)
			id := lowID(i)
			if link, up := f.come(id, netip.AddrFrom4([4]byte{20, byte(group), byte(i), 1})); up {
				f.honest[id] = link
				honest = append(honest, id)
				perGroup[group] = append(perGroup[group], id)
			}
		}
		safe := slices.Clone(honest[:min(len(honest), (slots-1)/4)]) // one may be on its way out
		for _, ids := range perGroup {
			if len(ids) == 1 && !join {
				safe = append(safe, ids[0])
			}
		}
		for range 800 {
			if len(f.enemy) > 0 && f.rng.IntN(5) == 0 { // it comes and goes
				for id, link := range f.enemy {
					m.down(id, link, muxer.CodeRemoteClosed)
					delete(f.enemy, id)
					break
				}
			}
			g := f.rng.IntN(groups)
			ip := netip.AddrFrom4([4]byte{byte(100 + g/200), byte(g % 200), byte(f.rng.IntN(256)), 1})
			if join && f.rng.IntN(2) == 0 {
				ip = netip.AddrFrom4([4]byte{20, byte(f.rng.IntN(25)), 200, byte(f.rng.IntN(256))})
			}
			f.attack(t, ip, safe)
			if c := m.Counts(); c.Inbound > slots || c.Upgrades > 0 {
				t.Fatalf("counts %+v", c)
			}
		}
		for _, id := range safe {
			if f.honest[id] == 0 {
				t.Fatalf("seed %d: %s is gone", seed, id)
			}
		}
		if join {
			continue
		}
		for g, ids := range perGroup {
			left := slices.DeleteFunc(slices.Clone(ids), func(id transport.NodeID) bool { return f.honest[id] == 0 })
			if len(left) == 0 {
				t.Fatalf("seed %d: nobody of group %d is left", seed, g)
			}
			if groups == 1 && len(left) < len(ids) &&
				len(left) < f.crowd(m.groupOf(netip.AddrFrom4([4]byte{100, 0, 0, 1})))-1 {
				t.Fatalf("seed %d: group %d has %d of %d left, and the attacker's has more", seed, g, len(left),
					len(ids))
			}
		}
	}
}

// A flood of one group alone takes no place of a group that has fewer, and it does not get more than the free ones once
// the crowds are even.
func TestAFloodOfOneGroupPushesOutItself(t *testing.T) {
	m := newPM(t, Config{MaxInbound: 20, ConnectionsPerGroup: 1000, ConnectionsPerIP: 1000})
	for i := range 20 {
		a := m.arrival(lowID(i))
		a.IP = netip.MustParseAddr(fmt.Sprintf("30.30.%d.1", i))
		if err := m.Arrived(accepted(a)); err != nil {
			t.Fatal(err)
		}
		m.settleLink(a.ID, a.LinkID)
	}
	came := 0
	for i := range 20 { // honest newcomers, each of a group of its own: the crowd makes room
		a := m.arrival(highID(i))
		a.IP = netip.MustParseAddr(fmt.Sprintf("40.%d.1.1", i))
		if err := m.Arrived(accepted(a)); err != nil {
			refused(t, err, muxer.CodeTooManyPeers, "peers.max_inbound")
			continue
		}
		m.settleLink(a.ID, a.LinkID)
		e, ok := m.TryEvictNext()
		if !ok || e.Reason.Reason != whyCrowded ||
			m.groupOf(m.links[e.LinkID].ip) != m.groupOf(netip.MustParseAddr("30.30.0.1")) {
			t.Fatalf("eviction %+v %v", e, ok)
		}
		m.down(e.ID, e.LinkID, e.Reason.Code)
		came++
	}
	if came < 10 || m.Tally().Evicted["crowded"] != uint64(came) {
		t.Fatalf("%d came in, tally %+v", came, m.Tally())
	}
	for i := range 100 {
		a := m.arrival(lowID(100 + i))
		a.IP = netip.MustParseAddr("30.30.1.2")
		err := m.Arrived(accepted(a))
		refused(t, err, muxer.CodeTooManyPeers, "peers.max_inbound")
	}
	m.noEviction()
}
