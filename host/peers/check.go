package peers

import (
	"fmt"
	"maps"
	"net/netip"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// Check returns the first contradiction between the peers, their links, the budgets and the store, "" if there is none.
// has reports whether the router has a link. Tests of whole nodes call it at any moment; it walks over the store.
func (m *Manager) Check(has func(linkID uint64) bool) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var linked, dialing [slotKinds]int
	byIP, byGroup := map[netip.Prefix]int{}, map[netip.Prefix]int{}
	for id, l := range m.links {
		if !has(id) {
			return fmt.Sprintf("the router has no link %d of %s", id, l.peer.id)
		}
		linked[l.slot]++
		if ip, group, ok := ipKeys(l.ip); ok {
			byIP[ip]++
			byGroup[group]++
		}
	}
	held := 0
	for id, p := range m.peers {
		if p.dial != nil {
			dialing[p.dial.slot]++
		}
		held += len(p.open()) + len(p.retired)
		rec, known := m.store.Get(id)
		switch {
		case p.idle():
			return fmt.Sprintf("%s is kept and idle", id)
		case p.inUse != nil && (!p.up || m.links[p.inUse.id] != p.inUse):
			return fmt.Sprintf("services use link %d of %s, which is not up", p.inUse.id, id)
		case p.up && p.inUse == nil && p.preferred == nil:
			return fmt.Sprintf("subscribers think that %s is up", id)
		case known && !rec.Busy:
			return fmt.Sprintf("%s is linked or being dialed, and the store may forget it", id)
		}
	}
	busy := ""
	m.store.Range(func(rec peerstore.Record) bool {
		if rec.Busy && m.peers[rec.ID] == nil {
			busy = fmt.Sprintf("the store says that %s is busy", rec.ID)
		}
		return busy == ""
	})
	switch {
	case busy != "":
		return busy
	case held != len(m.links):
		return fmt.Sprintf("%d links, and %d by peer", len(m.links), held)
	case linked != m.linked || dialing != m.dialing:
		return fmt.Sprintf("links %v and dials %v, counted %v and %v", m.linked, m.dialing, linked, dialing)
	case !maps.Equal(byIP, m.byIP) || !maps.Equal(byGroup, m.byGroup):
		return fmt.Sprintf("links by IP %v and group %v, counted %v and %v", m.byIP, m.byGroup, byIP, byGroup)
	case linked[slotInbound] > m.cfg.MaxInbound || linked[slotGuest] > m.cfg.Guests ||
		linked[slotDialedGuest] > m.cfg.DialedGuests ||
		linked[slotOutbound]+dialing[slotOutbound] > m.cfg.MaxOutbound ||
		linked[slotUpgrade]+dialing[slotUpgrade] > m.cfg.MaxUpgrades ||
		linked[slotEntry] > m.cfg.MaxUpgrades || dialing[slotFeeler] > 1:
		return fmt.Sprintf("a budget is overdrawn: links %v, dials %v", linked, dialing)
	}
	return ""
}
