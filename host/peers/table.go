package peers

import (
	"cmp"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// table is the state that the parts of a Manager share: the peers that are linked or being dialed, their links, and the
// slots that these hold. Manager.mu guards it; the store has a lock of its own, taken after that one.
type table struct {
	self   transport.NodeID
	cfg    Config
	store  peerstore.Store
	groups *peerstore.Groups
	rng    *rand.Rand
	operator

	peers   map[transport.NodeID]*peer
	links   map[uint64]*link
	linked  [slotKinds]int // links by slot
	dialing [slotKinds]int // dials by slot
	byIP    map[netip.Prefix]int
	byGroup map[netip.Prefix]int
}

// slot is the budget that a link or a dial counts against.
type slot uint8

const (
	slotNone        slot = iota // none: the link is closing, or another link of its peer holds the slot
	slotTrusted                 // unlimited: trusted and unconditional peers, and links that an operator asked for
	slotOutbound                // MaxOutbound
	slotInbound                 // MaxInbound
	slotUpgrade                 // MaxUpgrades: beyond full outbound slots, until the victim has gone
	slotGuest                   // Guests
	slotDialedGuest             // DialedGuests
	slotEntry                   // MaxUpgrades: beyond a full inbound or guest budget, until a link has made room
	slotFeeler                  // one short dial at a time that only tests an address
	slotMove                    // unlimited: dials of links that replace another one, and take over its slot
	slotKinds
)

// limitKeys are the configuration keys of the budgets.
var limitKeys = [slotKinds]string{
	slotInbound: "peers.max_inbound", slotOutbound: "peers.max_outbound", slotGuest: "peers.guests",
	slotDialedGuest: "peers.dialed_guests",
}

// peer returns a peer's entry, and makes one if there is none.
func (t *table) peer(id transport.NodeID) *peer {
	p := t.peers[id]
	if p == nil {
		p = &peer{id: id}
		t.peers[id] = p
	}
	return p
}

// sorted returns the peers in order of their ids, so that random choices do not depend on a map's order.
func (t *table) sorted() []*peer {
	out := make([]*peer, 0, len(t.peers))
	for _, p := range t.peers {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *peer) int { return cmp.Compare(a.id, b.id) })
	return out
}

// tidy ends every change of a peer: it updates Record.Busy and removes the entry of an idle peer.
func (t *table) tidy(p *peer) {
	idle := p.idle()
	if idle {
		delete(t.peers, p.id)
	}
	switch {
	case idle && p.hopeless:
		t.store.Remove(p.id)
	case p.busy == idle:
		t.store.SetBusy(p.id, !idle)
		p.busy = !idle
	}
}

// startDial takes a slot for a dial.
func (t *table) startDial(id transport.NodeID, d dial) {
	p := t.peer(id)
	p.dial = &d
	t.dialing[d.slot]++
	t.tidy(p)
}

// endDial gives the dial's slot back.
func (t *table) endDial(p *peer) dial {
	d := *p.dial
	p.dial = nil
	t.dialing[d.slot]--
	return d
}

// addLink counts a link in.
func (t *table) addLink(l *link) {
	t.links[l.id] = l
	l.group = t.groupOf(l.ip)
	if !l.dialed.IsZero() {
		l.named = t.groups.Of(l.dialed)
	}
	t.linked[l.slot]++
	if ip, group, ok := ipKeys(l.ip); ok {
		t.byIP[ip]++
		t.byGroup[group]++
	}
}

// removeLink takes a link out of all counts.
func (t *table) removeLink(l *link) {
	t.setSlot(l, slotNone)
	t.linked[slotNone]--
	delete(t.links, l.id)
	if ip, group, ok := ipKeys(l.ip); ok {
		countDown(t.byIP, ip)
		countDown(t.byGroup, group)
	}
}

func countDown(counts map[netip.Prefix]int, key netip.Prefix) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// setSlot moves a link to another budget.
func (t *table) setSlot(l *link, s slot) {
	t.linked[l.slot]--
	l.slot = s
	t.linked[s]++
}

// isolated reports whether there is no link at all.
func (t *table) isolated() bool { return len(t.links) == 0 }

// isOffline reports whether a dial failed because we have no network: it says so, and no link says otherwise.
func (t *table) isOffline(failures []DialFailure) bool {
	if !noNetwork(failures) {
		return false
	}
	for _, l := range t.links {
		if !l.ip.Unmap().IsLoopback() {
			return false
		}
	}
	return true
}

// limitOf returns how many links a budget has room for.
func (t *table) limitOf(s slot) int {
	switch s {
	case slotInbound:
		return t.cfg.MaxInbound
	case slotOutbound:
		return t.cfg.MaxOutbound
	case slotGuest:
		return t.cfg.Guests
	case slotDialedGuest:
		return t.cfg.DialedGuests
	}
	return math.MaxInt
}

// freeOutbound returns how many more peers may be dialed.
func (t *table) freeOutbound() int {
	return t.cfg.MaxOutbound - t.linked[slotOutbound] - t.dialing[slotOutbound]
}

// freeUpgrades returns how many more upgrades may begin.
func (t *table) freeUpgrades() int {
	return t.cfg.MaxUpgrades - t.linked[slotUpgrade] - t.dialing[slotUpgrade]
}

// evictable returns the links of a budget that may be closed for want of room, and how many more are closing already.
// A peer with a standby is left alone: it is about to lose a link anyway, unless it is a guest.
func (t *table) evictable(s slot) (candidates []*link, leaving int) {
	for _, p := range t.sorted() {
		for _, l := range p.open() {
			switch {
			case l.slot != s:
			case l.state == closing:
				leaving++
			case l == p.preferred && (p.standby == nil || p.standby.guest):
				candidates = append(candidates, l)
			}
		}
	}
	return candidates, leaving
}

// outboundGroups counts our outbound links and dials by network group: that of the address that was dialed, and that of
// the IP to which it led.
func (t *table) outboundGroups() map[peerstore.Group]int {
	out := map[peerstore.Group]int{}
	for _, p := range t.peers {
		if p.dial != nil && p.dial.slot != slotFeeler && p.dial.slot != slotMove {
			out[t.groups.Of(p.dial.first)]++
		}
		if l := p.preferred; l != nil && !l.inbound {
			out[l.named]++
			if l.group != l.named {
				out[l.group]++
			}
		}
	}
	delete(out, peerstore.Group{})
	return out
}

// linksPerGroup counts the links of a budget by network group: with those that wait to get into it, without those that
// are closing.
func (t *table) linksPerGroup(s slot) map[peerstore.Group]int {
	out := map[peerstore.Group]int{}
	for _, l := range t.links {
		if (l.slot == s || l.slot == slotEntry && l.bid == s) && l.state != closing {
			out[l.group]++
		}
	}
	return out
}

// groupOf returns the network group that an IP counts in. Loopback and links without an IP share the zero Group.
func (t *table) groupOf(ip netip.Addr) peerstore.Group {
	if ip.Unmap().IsLoopback() {
		return peerstore.Group{}
	}
	return t.groups.OfIP(ip)
}

// checkIP refuses a link whose IP or network group has as many links as it may.
func (t *table) checkIP(addr netip.Addr) *DisconnectError {
	ip, group, ok := ipKeys(addr)
	d := &DisconnectError{Code: muxer.CodeTooManyPeers}
	switch {
	case !ok:
		return nil
	case t.byIP[ip] >= t.cfg.ConnectionsPerIP:
		d.Limit, d.Reason = "limits.connections_per_ip", "too many links from "+ip.String()
	case t.byGroup[group] >= t.cfg.ConnectionsPerGroup:
		d.Limit, d.Reason = "limits.connections_per_group", "too many links from "+group.String()
	default:
		return nil
	}
	return d
}

// ipKeys returns what connections are counted by: an IPv4 address or an IPv6 /64 (which one customer has), and the
// network group. Loopback and links without an IP are not counted.
func ipKeys(ip netip.Addr) (one, group netip.Prefix, ok bool) {
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() || ip.IsLoopback() {
		return one, group, false
	}
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	one, err := ip.Prefix(bits)
	return one, transport.IPGroup(ip), err == nil
}
