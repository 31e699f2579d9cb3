package peers

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Kept is why a peer keeps its link.
type Kept struct {
	Code KeptCode
	Text string // for people
}

// KeptCode names a reason to keep a link.
type KeptCode string

const (
	KeptPersistent    KeptCode = "persistent"    // the configuration names it among peers.persistent
	KeptTrusted       KeptCode = "trusted"       // an operator has made it trusted: see SetRole
	KeptUnconditional KeptCode = "unconditional" // no limit refuses it
	KeptOperator      KeptCode = "operator"      // an operator asked for the link
	KeptOutbound      KeptCode = "outbound"      // it has a slot, and any other peer may get that
	KeptInbound       KeptCode = "inbound"
	KeptUptime        KeptCode = "uptime"  // it makes room for nobody: it is among those that are up the longest
	KeptUseful        KeptCode = "useful"  // the most useful to services
	KeptLatency       KeptCode = "latency" // the nearest
	KeptGroup         KeptCode = "group"   // the oldest of a network group that is protected
	KeptGuest         KeptCode = "guest"   // it has one of the places for plain libp2p peers
	KeptNew           KeptCode = "new"     // it waits until another link has made room
)

// onGround are the reasons of links that are protected.
var onGround = map[ground]Kept{
	oldest:  {KeptUptime, "among the longest up"},
	useful:  {KeptUseful, "among the most useful"},
	nearest: {KeptLatency, "among the lowest round trips"},
	grouped: {KeptGroup, "its network group is protected"},
}

// Kept returns why the peers whose link services can use keep it.
func (m *Manager) Kept() map[transport.NodeID]Kept {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[transport.NodeID]Kept, len(m.peers))
	var slots [slotKinds][]*link
	for _, p := range m.peers {
		if l := p.inUse; l != nil {
			if l.slot == slotNone && p.preferred != nil { // another link of the peer holds it
				slots[p.preferred.slot] = append(slots[p.preferred.slot], l)
			} else {
				slots[l.slot] = append(slots[l.slot], l)
			}
		}
	}
	for s, links := range slots {
		if len(links) == 0 {
			continue
		}
		slices.SortFunc(links, func(a, b *link) int { return cmp.Or(a.arrived.Compare(b.arrived), older(a, b)) })
		var safe map[*link]ground
		if s := slot(s); s == slotInbound {
			candidates, _ := m.evictable(s)
			safe = m.evictor.grounds.protected(candidates)
		}
		for i, l := range links {
			out[l.peer.id] = m.kept(l, slot(s), i, safe[l])
		}
	}
	return out
}

// kept returns why a link stays that is the i-th of its budget.
func (t *table) kept(l *link, s slot, i int, on ground) Kept {
	id := l.peer.id
	switch {
	case t.trusted[id] && t.set[id]:
		return Kept{KeptTrusted, "trusted by an operator"}
	case t.trusted[id]:
		return Kept{KeptPersistent, "persistent"}
	case t.unconditional[id]:
		return Kept{KeptUnconditional, "unconditional"}
	case on != unprotected:
		return onGround[on]
	}
	switch s {
	case slotTrusted:
		return Kept{KeptOperator, "an operator asked for it"}
	case slotOutbound:
		return Kept{KeptOutbound, fmt.Sprintf("outbound slot %d of %d", i+1, t.cfg.MaxOutbound)}
	case slotInbound:
		return Kept{KeptInbound, fmt.Sprintf("inbound slot %d of %d", i+1, t.cfg.MaxInbound)}
	case slotGuest:
		return Kept{KeptGuest, fmt.Sprintf("guest %d of %d", i+1, t.cfg.Guests)}
	case slotDialedGuest:
		return Kept{KeptGuest, fmt.Sprintf("guest %d of %d that we dialed", i+1, t.cfg.DialedGuests)}
	}
	return Kept{KeptNew, "until another link has made room"}
}
