package peers

import (
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Arrived tells of a link that a dial has brought up, or of one from a remote that dialed us. A refusal is a
// *DisconnectError. It ends the dial and the link: neither DialFailed nor Disconnected is called after it.
func (m *Manager) Arrived(a Arrival) error {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[a.ID]
	var d *dial
	if p != nil && p.dial != nil && a.Side == muxer.Dialer {
		ended := m.endDial(p)
		d = &ended
		m.dialer.pace.end(false)
		defer m.dialWake.wake()
	}
	var refusal *DisconnectError
	if d != nil && d.slot == slotFeeler {
		var worked bool
		if refusal, worked = m.record.feelerEnded(a, p, now); worked {
			m.tally.FeelersWorked++
		}
	} else {
		l := &link{
			id: a.LinkID, inbound: a.Side == muxer.Listener, confirms: a.Confirms, guest: a.Guest,
			dialed: a.Dialed, ip: a.IP, arrived: now, moveTo: a.MoveTo,
		}
		refusal = m.admission.admit(a, l, d, now)
		switch {
		case refusal == nil || a.Side != muxer.Dialer:
		case d != nil && d.slot == slotMove:
			m.dialer.moveFailed(a.ID, d.moves, now)
		default:
			m.record.dialRefused(a.ID, refusal, now)
		}
	}
	if p := m.peers[a.ID]; p != nil {
		m.tidy(p)
	}
	m.evictor.fillSlots()
	if refusal != nil {
		return refusal
	}
	return nil
}

// Established says that the remote has accepted a link: it said so, it has used the link, or its time to decline is
// over. Established reports whether that is the preferred link, which Ready can bring up, and the duplicate that is to
// end now; nil for none.
func (m *Manager) Established(id transport.NodeID, linkID uint64) (preferred bool, extra *Eviction) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.links[linkID]
	if l == nil || l.peer.id != id {
		return false, nil
	}
	preferred, dup := m.establish(l)
	if dup == nil {
		return preferred, nil
	}
	m.evictor.fillSlots()
	m.dialWake.wake()
	return preferred, &Eviction{ID: id, LinkID: dup.id, Reason: dup.reason}
}

// Ready brings an established link up as the given peering, with the channels that both ends serve; subscribers hear of
// it. If the peer was up as another peering, they hear first that this one went down. Ready reports false if the link
// is not the preferred one, or is closing; then no subscriber hears of it.
func (m *Manager) Ready(id transport.NodeID, linkID, peering uint64, channels []byte) bool {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.links[linkID]
	if l == nil || l.peer.id != id || l.peer.preferred != l || l.state != established && l.state != up {
		return false
	}
	first := l.ready.IsZero()
	if first && (l.slot == slotEntry || l.slot == slotUpgrade) && !m.evictor.makeRoom(l, now) {
		return false
	}
	if !l.guest {
		m.guests.set(id, false) // it may have joined our network
	}
	l.channels = append([]byte(nil), channels...)
	if l.moved && l.state != up {
		m.record.linkMoved(l, now)
	}
	l.state = up
	l.peer.inUse = l
	if first && len(l.moveTo) > 0 {
		m.dialer.planMove(l, now)
	}
	if first {
		l.ready = now
		if l.peer.found = len(m.dialer.lost.peers) > 0 && m.dialer.lost.found(id, now); l.peer.found {
			l.lost = now // it makes no room for others that were lost
		}
		m.record.linkReady(l, now)
	}
	if l.peer.up && l.peer.peering != peering { // it may have forgotten all that we sent it: services begin anew
		m.subs.goDown(l.peer, Replaced())
	}
	m.subs.goUp(l.peer, peering)
	if first {
		if l.slot == slotOutbound {
			m.dialer.saveAnchors()
		}
		m.dialWake.wake() // it may become a victim
	}
	return true
}

// Disconnected says that a link has ended. It returns the standby that is the preferred link from now on, 0 for none,
// and whether it is established: then Ready can bring it up, as a new peering.
func (m *Manager) Disconnected(
	id transport.NodeID, linkID uint64, reason *DisconnectError,
) (heir uint64, isEstablished bool) {
	now := time.Now()
	if reason == nil {
		reason = &DisconnectError{Code: muxer.CodeUnknown}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.links[linkID]
	if l == nil || l.peer.id != id {
		return 0, false
	}
	p, held := l.peer, l.slot
	next := m.end(l)
	if l.moveTo != nil || l.replaces != nil || l.moved {
		m.dialer.moveEnded(l, reason, now)
	}
	if p.inUse == nil {
		m.subs.goDown(p, reason)
	}
	if p.preferred == nil && len(p.retired) == 0 {
		m.record.linkEnded(l, reason, now)
		if stable := !l.ready.IsZero() && now.Sub(l.ready) >= m.cfg.StableAfter; stable && broke(reason) {
			m.dialer.lost.note(lostPeer{id, now, !l.inbound}, m.countUp())
		}
	}
	if held == slotOutbound && reason.Code != muxer.CodeShuttingDown {
		m.dialer.saveAnchors()
	}
	m.tidy(p)
	m.evictor.fillSlots()
	m.dialWake.wake()
	m.evictor.wake.wake()
	if next == nil {
		return 0, false
	}
	return next.id, next.state >= established
}

// SetLatency records the round trip to a peer, one of the grounds that protect a link from eviction.
func (m *Manager) SetLatency(id transport.NodeID, rtt time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.peers[id]; p != nil && p.preferred != nil && rtt > 0 {
		p.preferred.latency = rtt
	}
}
