package peers

import (
	"cmp"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// What keeps the outbound links from all being one attacker's: different network groups, anchors after a restart, and churn.

// query asks the store for peers that are neither linked nor being dialed nor rejected, of network groups that have room for another outbound link; mu is held
// while the store asks back. It begins another search: queries of earlier ones hold no more.
func (m *Manager) query(rejected rejects) peerstore.Query {
	m.rejected = rejected
	q := peerstore.Query{Skip: m.skip}
	if m.freeOutbound() <= 0 && !m.churns() || m.cfg.OutboundPerGroup > len(m.peers) { // nobody to choose, or no group can be full
		return q
	}
	var full map[peerstore.Group]int
	q.Avoid = func(g peerstore.Group) bool {
		if full == nil {
			full = m.outboundGroups()
		}
		return full[g] >= m.cfg.OutboundPerGroup
	}
	return q
}

// outboundGroups counts the links and dials of ours in each network group: by the address that was dialed, and by the IP to which that led; mu is held.
func (m *Manager) outboundGroups() map[peerstore.Group]int {
	out := map[peerstore.Group]int{}
	for _, p := range m.peers {
		if p.dial != nil && p.dial.slot != slotFeeler {
			out[m.groups.Of(p.dial.first)]++
		}
		if l := p.current; l != nil && !l.inbound() {
			out[l.named]++
			if l.group != l.named {
				out[l.group]++
			}
		}
	}
	delete(out, peerstore.Group{})
	return out
}

// dialAnchor dials the next outbound peer of the last run that can be dialed: they come first after a start, so that whoever has filled our store in the
// meantime does not decide on all our links; mu is held.
func (m *Manager) dialAnchor(now time.Time) (Dial, bool) {
	for len(m.anchors) > 0 && m.freeOutbound() > 0 {
		id := m.anchors[0]
		m.anchors = m.anchors[1:]
		if rec, ok := m.store.Get(id); ok && m.peers[id] == nil && !m.trusted[id] && isDue(&rec, now) {
			if d, ok := m.dial(&rec, slotOutbound, now); ok {
				return d, true
			}
		}
	}
	return Dial{}, false
}

// saveAnchors remembers the outbound peers that have been up the longest, each of another network group; mu is held. While there are too few, those of
// before stay.
func (m *Manager) saveAnchors() {
	var links []*linkState
	for _, p := range m.peers {
		if l := p.current; l != nil && l.slot == slotOutbound && !l.ready.IsZero() {
			links = append(links, l)
		}
	}
	slices.SortFunc(links, func(a, b *linkState) int { return cmp.Or(a.ready.Compare(b.ready), older(a, b)) })
	var ids []transport.NodeID
	groups := map[peerstore.Group]bool{}
	for _, l := range links {
		if len(ids) < m.cfg.Anchors && (l.group.IsZero() || !groups[l.group]) {
			ids = append(ids, l.peer.id)
			groups[l.group] = true
		}
	}
	for _, id := range m.saved {
		if len(ids) < m.cfg.Anchors && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if !slices.Equal(ids, m.saved) {
		m.saved = ids
		m.store.SetMeta(metaAnchors, joinIDs(ids))
	}
}

// churnAge is how long an outbound peer must have been up to be exchanged: one that has just come is no gain to lose.
const churnAge = 2 * time.Minute

// tryChurn begins to exchange an outbound peer if that is due: another one is dialed beyond the slots, as for an upgrade, and once it is up an unprotected
// one gives way, by chance, whatever its score: who wants our slots has a good one. So there are never fewer links for it; mu is held.
func (m *Manager) tryChurn(now time.Time) (Dial, bool) {
	if !m.churns() || m.churnAt.After(now) {
		return Dial{}, false
	}
	m.churnAt = now.Add(m.about(m.cfg.Churn))
	rec, ok := m.store.Next(now, m.query(nil))
	if !ok || m.trusted[rec.ID] || m.guests[rec.ID] {
		return Dial{}, false
	}
	links, _ := m.evictable(slotOutbound)
	safe, full := m.protected(links), m.outboundGroups()
	addrs, _, _ := m.dialable(&rec, now)
	links = slices.DeleteFunc(links, func(l *linkState) bool {
		if safe[l] || l.ready.IsZero() || now.Sub(l.ready) < churnAge {
			return true
		}
		// The newcomer makes no group more crowded than it may be: if its group has its share, one of that gives way.
		if len(addrs) > 0 {
			g := m.groups.Of(addrs[0])
			return full[g] >= m.cfg.OutboundPerGroup && l.group != g && l.named != g
		}
		return false
	})
	if len(links) == 0 {
		return Dial{}, false
	}
	victim := links[m.rng.IntN(len(links))]
	d, ok := m.dial(&rec, slotUpgrade, now)
	if ok {
		m.claims[victim.peer.id], m.churner = rec.ID, rec.ID
	}
	return d, ok
}

// churns says that an outbound peer may be exchanged: all slots are taken by links, and nothing else goes on beyond them; mu is held.
func (m *Manager) churns() bool {
	return m.cfg.Churn > 0 && m.cfg.MaxOutbound > 0 && m.linked[slotOutbound] >= m.cfg.MaxOutbound &&
		m.cfg.MaxUpgrades > 0 && m.freeUpgrades() == m.cfg.MaxUpgrades
}

// churnDue is when the next outbound peer is to be exchanged; mu is held.
func (m *Manager) churnDue(now time.Time) (time.Time, bool) {
	return m.churnAt, m.churns() && m.churnAt.After(now)
}
