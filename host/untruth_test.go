package host

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Untruth is the first disagreement between the router, the peer manager and the store, at any moment whatever goes on; "" for none. Tests of networks call it.
func (h *Host) Untruth() string {
	h.change.Lock() // what is decided and what is made of it, together
	defer h.change.Unlock()
	m := h.peers
	m.mu.Lock()
	defer m.mu.Unlock()

	used := map[transport.NodeID]*link{}
	h.eachLink(func(l *link) { used[l.peer] = l })
	for id, l := range used {
		p := m.peers[id]
		switch {
		case p == nil || !p.up:
			return fmt.Sprintf("services use link %d of %s, which is not up", l.num, id)
		case p.using == nil || p.using.id != l.num || m.links[l.num] != p.using:
			return fmt.Sprintf("services use link %d of %s, the manager says %+v", l.num, id, p.using)
		}
	}
	var linked, dialing [slotKinds]int
	byIP, byGroup := map[netip.Prefix]int{}, map[netip.Prefix]int{}
	for num, l := range m.links {
		if h.link(num) == nil {
			return fmt.Sprintf("the router has no link %d of %s", num, l.peer.id)
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
		if p.idle() {
			return fmt.Sprintf("%s is kept and idle", id)
		}
		if p.using != nil && used[id] == nil {
			return fmt.Sprintf("%s is up, and services have no link", id)
		}
		if p.up && p.using == nil && p.current == nil {
			return fmt.Sprintf("subscribers think that %s is up", id)
		}
		held += len(p.links())
		if rec, known := h.cfg.Store.Get(id); known && !rec.Busy {
			return fmt.Sprintf("%s is linked or being dialed, and the store may forget it", id)
		}
	}
	busy := ""
	h.cfg.Store.Range(func(rec peerstore.Record) bool {
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
	case !sameCounts(byIP, m.byIP) || !sameCounts(byGroup, m.byGroup):
		return fmt.Sprintf("links by IP %v and group %v, counted %v and %v", m.byIP, m.byGroup, byIP, byGroup)
	case linked[slotInbound] > m.cfg.MaxInbound || linked[slotGuest] > m.cfg.Guests || linked[slotOutbound]+dialing[slotOutbound] > m.cfg.MaxOutbound ||
		linked[slotUpgrade]+dialing[slotUpgrade] > m.cfg.MaxUpgrades || linked[slotEntry] > m.cfg.MaxUpgrades || dialing[slotFeeler] > 1:
		return fmt.Sprintf("a budget is overdrawn: links %v, dials %v", linked, dialing)
	}
	return ""
}

func sameCounts(a, b map[netip.Prefix]int) bool {
	for k, n := range a {
		if b[k] != n {
			return false
		}
	}
	return len(a) == len(b)
}

// UntruthAtRest is Untruth, and what else has to agree at a moment when nothing goes on: what can be told of each peer, and the store's totals.
func (h *Host) UntruthAtRest() string {
	if why := h.Untruth(); why != "" {
		return why
	}
	now, up := time.Now(), 0
	st := peerstore.Stats{Banned: len(h.cfg.Store.Bans(now))}
	why := ""
	h.cfg.Store.Range(func(rec peerstore.Record) bool {
		if st.Known++; rec.Tried() {
			st.Tried++
		}
		s, _ := h.peers.Status(rec.ID)
		info, is := h.Peer(rec.ID)
		if is {
			up++
		}
		switch {
		case is != (s.State == StateUp || s.State == StateLeaving && !s.Connected.IsZero()):
			why = fmt.Sprintf("%s is up: %v, and its state %s", rec.ID, is, s.State)
		case is && (info.Guest != s.Guest || info.Score != s.Score || info.Trusted != s.Trusted || info.Inbound != s.Inbound || !info.Connected.Equal(s.Connected)):
			why = fmt.Sprintf("peer %+v, status %+v", info, s)
		case rec.Trusted != s.Trusted || rec.Private != s.Private || rec.Unconditional != s.Unconditional || len(rec.Addresses) != s.Addresses:
			why = fmt.Sprintf("record %+v, status %+v", rec, s)
		}
		return why == ""
	})
	st.New = st.Known - st.Tried
	switch got := peerstore.Totals(h.cfg.Store, now); {
	case why != "":
		return why
	case got != st:
		return fmt.Sprintf("the store counts %+v, it has %+v", got, st)
	case up != len(h.Peers()) || up != len(h.peers.Peers()):
		return fmt.Sprintf("%d peers of the store are up, the host has %d, the manager %d", up, len(h.Peers()), len(h.peers.Peers()))
	}
	return ""
}
