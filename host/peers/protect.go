package peers

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// What protects a link from making room for another one. The grounds are asked in this order, and each protects the best of those that none before it has:
// so of any number of links five eighths are protected, and an attacker would have to win on every ground to take their places. On the first he cannot: whoever is
// among the oldest quarter stays, whatever comes later.
const (
	ageShare   = 4 // the oldest quarter
	otherShare = 8 // an eighth each: the most useful to services, the nearest, and the oldest of some network groups that a secret hash chooses
)

// protected are those of the links that make room for nobody: at least one on each ground where there is one. mu is held.
func (m *Manager) protected(links []*linkState) map[*linkState]bool {
	out := make(map[*linkState]bool, len(links))
	rest := slices.Clone(links)
	protect := func(share int, eligible func(*linkState) bool, better func(a, b *linkState) int) {
		slices.SortFunc(rest, func(a, b *linkState) int { return cmp.Or(better(a, b), older(a, b)) })
		n := max(1, len(links)/share)
		rest = slices.DeleteFunc(rest, func(l *linkState) bool {
			if n == 0 || !eligible(l) {
				return false
			}
			n--
			out[l] = true
			return true
		})
	}
	all := func(*linkState) bool { return true }
	protect(ageShare, all, older)
	protect(otherShare, func(l *linkState) bool { return l.useful > 0 }, func(a, b *linkState) int { return cmp.Compare(b.useful, a.useful) })
	protect(otherShare, func(l *linkState) bool { return l.latency > 0 }, func(a, b *linkState) int {
		return cmp.Compare(latencyRank(a), latencyRank(b))
	})
	lots := map[peerstore.Group]uint64{}
	for _, l := range rest {
		if _, drawn := lots[l.group]; !drawn && !l.group.IsZero() {
			lots[l.group] = m.lotOf(l.group)
		}
	}
	protect(otherShare, func(l *linkState) bool { // the first of each group that comes is its oldest
		_, first := lots[l.group]
		delete(lots, l.group)
		return first
	}, func(a, b *linkState) int { return cmp.Compare(lots[a.group], lots[b.group]) })
	return out
}

func older(a, b *linkState) int {
	return cmp.Or(a.arrived.Compare(b.arrived), cmp.Compare(a.id, b.id))
}

// latencyRank puts those that were never measured last.
func latencyRank(l *linkState) uint64 { return uint64(l.latency - 1) }

// lotOf is the secret number of a network group, by which some groups are protected: nobody can place himself there.
func (m *Manager) lotOf(group peerstore.Group) uint64 {
	sum := sha256.Sum256(append(m.groupKey[:], group.String()...))
	return binary.BigEndian.Uint64(sum[:])
}

// groupOf is the network group that an IP counts in; the zero Group for loopback and for none: those are one crowd.
func (m *Manager) groupOf(ip netip.Addr) peerstore.Group {
	if ip.Unmap().IsLoopback() {
		return peerstore.Group{}
	}
	return m.groups.OfIP(ip)
}

// crowds are how many links of a budget each network group has, with those that wait to get into it and without those on their way out; mu is held.
func (m *Manager) crowds(s slot) map[peerstore.Group]int {
	out := map[peerstore.Group]int{}
	for _, l := range m.links {
		if (l.slot == s || l.slot == slotEntry && l.bid == s) && l.evict == nil {
			out[l.group]++
		}
	}
	return out
}

// crowdedOut is the link that is to make room in a full budget: of the most crowded network group that has one which no ground protects, and by chance
// among those. It is never one of a group that has no more than atLeast links, so a newcomer whose group would have as many gets no place: a flood from
// some groups takes places from groups that have more, and from nobody else. nil when there is none; mu is held.
func (m *Manager) crowdedOut(s slot, atLeast int) *linkState {
	crowds := m.crowds(s)
	most := 0
	for _, n := range crowds {
		most = max(most, n)
	}
	if most <= atLeast { // the usual answer in a flood, for little work
		return nil
	}
	links, _ := m.evictable(s)
	safe := m.protected(links)
	most = atLeast
	var open []*linkState
	for _, l := range links {
		switch n := crowds[l.group]; {
		case safe[l] || n < most || n <= atLeast:
		case n > most:
			most, open = n, append(open[:0], l)
		default:
			open = append(open, l)
		}
	}
	if len(open) == 0 {
		return nil
	}
	group := open[m.rng.IntN(len(open))].group // several groups may be as crowded: one of them
	open = slices.DeleteFunc(open, func(l *linkState) bool { return l.group != group })
	return open[m.rng.IntN(len(open))]
}

// mayEnter says that a newcomer from ip would find room in a full budget, and that there is a place to wait in until it is up; mu is held.
func (m *Manager) mayEnter(s slot, ip netip.Addr) bool {
	if m.linked[slotEntry] >= m.cfg.MaxUpgrades {
		return false
	}
	return m.crowdedOut(s, m.crowds(s)[m.groupOf(ip)]+1) != nil
}

// enter finds a place for a link that has come in beyond a full budget, now that it is up: a free one, or that of a link which has to go. false says that there is
// none any more; mu is held.
func (m *Manager) enter(l *linkState) bool {
	if m.linked[l.bid] < m.limitOf(l.bid) {
		m.setSlot(l, l.bid)
		return true
	}
	victim := m.crowdedOut(l.bid, m.crowds(l.bid)[l.group])
	if victim == nil {
		return false
	}
	m.requestEvict(victim.peer.id, &DisconnectError{Code: muxer.CodeEvicted, Limit: limitKeys[l.bid], Reason: whyCrowded})
	return true
}

// settleEntries gives free places to those that wait for one: first to those that are up, as somebody goes for them already; mu is held.
func (m *Manager) settleEntries() {
	if m.linked[slotEntry] == 0 {
		return
	}
	for _, up := range []bool{true, false} {
		for _, p := range m.sortedPeers() {
			for _, l := range []*linkState{p.current, p.standby} {
				if l != nil && l.slot == slotEntry && !l.ready.IsZero() == up && m.linked[l.bid] < m.limitOf(l.bid) {
					m.setSlot(l, l.bid)
				}
			}
		}
	}
}
