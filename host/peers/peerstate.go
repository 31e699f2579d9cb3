package peers

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// slot is the budget that a link or a dial counts against.
type slot uint8

const (
	slotNone     slot = iota // on the way out: another link has taken its place
	slotTrusted              // trusted and unconditional peers, and links that an operator asked for: not limited
	slotOutbound             // MaxOutbound
	slotInbound              // MaxInbound
	slotUpgrade              // MaxUpgrades: beyond full outbound slots, until the victim has gone
	slotGuest                // Guests
	slotEntry                // MaxUpgrades: beyond a full budget of those that dial us, until somebody has made room
	slotFeeler               // one short dial at a time that only tests an address
	slotKinds
)

// simultaneity is how long after a link's arrival another one of the peer may be the other half of a simultaneous dial, and no new attempt of a remote that
// has lost the first. It is longer than a dial and its handshake may take, so both ends see both links within it.
const simultaneity = 15 * time.Second

// codeMisbehaved is what reports end links with.
const codeMisbehaved = muxer.CodeMisbehaved

// peerState is what is kept of a peer while it is linked or being dialed; Manager.mu guards it.
type peerState struct {
	id      transport.NodeID
	dial    *dialState   // nil while it is not being dialed
	dialing dialState    // the memory of dial
	current *linkState   // the link that is used
	standby *linkState   // another one that takes over if the remote declines the current one
	leaving []*linkState // those whose place was taken while they were on their way out
	using   *linkState   // the one that services use: the last that became ready; nil before that and after its end
	busy    bool         // Record.Busy as the store has it

	hopeless bool // it is to be forgotten once it is idle

	// What subscribers know.
	up       bool
	inbound  bool
	channels []byte
}

// dialState is a dial in progress.
type dialState struct {
	slot      slot
	first     transport.Address // the one that is dialed first; zero: the operator's
	requested bool              // an operator asked for it
}

// linkState is a link that has passed its handshake.
type linkState struct {
	id     uint64
	peer   *peerState
	side   muxer.Side
	acked  bool
	guest  bool
	graced bool // the remote has accepted it: it said so, or used the link; or the time for a refusal is over
	redial bool // it takes the place of a settled one: see redialedBy
	slot   slot
	bid    slot // in slotEntry: the budget that it waits for
	dialed transport.Address
	ip     netip.Addr
	group  peerstore.Group // of ip: see groupOf
	named  peerstore.Group // of dialed

	arrived  time.Time
	ready    time.Time // zero: not yet
	channels []byte
	useful   int           // points that services gave it
	latency  time.Duration // 0: not known

	evict    *DisconnectError // why it is to be ended; nil: it is not
	evicting bool             // the router was told
}

func (l *linkState) inbound() bool { return l.side == muxer.Listener }

// settled says that the remote is known to have taken this link for its only one, so that another one is a duplicate.
func (l *linkState) settled(now time.Time) bool {
	return l.graced || now.Sub(l.arrived) >= simultaneity
}

// links are all links of the peer, the current one first.
func (p *peerState) links() []*linkState {
	out := make([]*linkState, 0, 2+len(p.leaving))
	if p.current != nil {
		out = append(out, p.current)
	}
	if p.standby != nil {
		out = append(out, p.standby)
	}
	return append(out, p.leaving...)
}

func (p *peerState) idle() bool {
	return p.dial == nil && p.current == nil && p.standby == nil && len(p.leaving) == 0
}

// peer returns the state of a peer, made when there is none; mu is held.
func (m *Manager) peer(id transport.NodeID) *peerState {
	p := m.peers[id]
	if p == nil {
		if p = m.spare; p == nil {
			p = new(peerState)
		}
		m.spare = nil
		*p = peerState{id: id}
		m.peers[id] = p
	}
	return p
}

// sortedPeers are the peers in order of their ids, so that random choices do not depend on a map's order; mu is held.
func (m *Manager) sortedPeers() []*peerState {
	out := make([]*peerState, 0, len(m.peers))
	for _, p := range m.peers {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *peerState) int { return cmp.Compare(a.id, b.id) })
	return out
}

// tidy brings Record.Busy up to date and forgets an idle peer; mu is held. It ends every change of a peer.
func (m *Manager) tidy(p *peerState) {
	if busy := !p.idle(); busy != p.busy {
		m.store.SetBusy(p.id, busy)
		p.busy = busy
	}
	if p.idle() {
		delete(m.peers, p.id)
		if p.hopeless {
			m.store.Remove(p.id)
			delete(m.promises, p.id)
		}
	}
}

// addLink counts a link in; mu is held.
func (m *Manager) addLink(l *linkState) {
	m.links[l.id] = l
	l.group = m.groupOf(l.ip)
	if !l.dialed.IsZero() {
		l.named = m.groups.Of(l.dialed)
	}
	m.linked[l.slot]++
	if ip, group, ok := ipKeys(l.ip); ok {
		m.byIP[ip]++
		m.byGroup[group]++
	}
}

// removeLink takes a link out of all counts; mu is held.
func (m *Manager) removeLink(l *linkState) {
	p := l.peer
	m.setSlot(l, slotNone)
	m.linked[slotNone]--
	delete(m.links, l.id)
	if p.using == l {
		p.using = nil
	}
	switch l {
	case p.current:
		p.current = nil
	case p.standby:
		p.standby = nil
	default:
		p.leaving = slices.DeleteFunc(p.leaving, func(o *linkState) bool { return o == l })
	}
	if ip, group, ok := ipKeys(l.ip); ok {
		countDown(m.byIP, ip)
		countDown(m.byGroup, group)
	}
}

func countDown(counts map[netip.Prefix]int, key netip.Prefix) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// setSlot moves a link to another budget; mu is held.
func (m *Manager) setSlot(l *linkState, s slot) {
	if l.slot == slotUpgrade && s != slotUpgrade {
		m.unclaim(l.peer.id)
	}
	m.linked[l.slot]--
	l.slot = s
	m.linked[s]++
}

// leave makes way for another link of the peer: l is on its way out and only waits for its end; mu is held.
func (m *Manager) leave(l *linkState) {
	p := l.peer
	if p.current == l {
		p.current = nil
	} else {
		p.standby = nil
	}
	m.setSlot(l, slotNone)
	p.leaving = append(p.leaving, l)
}

// startDial reserves a slot for a dial; mu is held.
func (m *Manager) startDial(id transport.NodeID, d dialState) {
	p := m.peer(id)
	p.dialing = d
	p.dial = &p.dialing
	m.dialing[d.slot]++
	m.tidy(p)
}

// endDial gives the dial's slot back. It keeps the claim of an upgrade, which the caller passes on to the link or drops; mu is held.
func (m *Manager) endDial(p *peerState) dialState {
	d := *p.dial
	p.dial = nil
	m.dialing[d.slot]--
	return d
}

// freeOutbound is how many peers may still be dialed; mu is held.
func (m *Manager) freeOutbound() int {
	return m.cfg.MaxOutbound - m.linked[slotOutbound] - m.dialing[slotOutbound]
}

// freeUpgrades is how many upgrades may still be begun; mu is held.
func (m *Manager) freeUpgrades() int {
	return m.cfg.MaxUpgrades - m.linked[slotUpgrade] - m.dialing[slotUpgrade]
}

// ipKeys are what connections are counted by: an IPv4 address or an IPv6 /64 (which one customer has), and the network group. Loopback and links
// without an IP are not counted.
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
