package peers

import (
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Dialed tells of a link that a dial has brought up. A refusal is a *DisconnectError. It ends the dial: neither DialFailed
// nor Disconnected is called after it.
func (m *Manager) Dialed(a Arrival) (Verdict, error) {
	a.Side = muxer.Dialer
	return m.arrive(a)
}

// Accepted tells of a link from a remote that dialed us. A refusal is a *DisconnectError; Disconnected is not called
// after it.
func (m *Manager) Accepted(a Arrival) (Verdict, error) {
	a.Side = muxer.Listener
	return m.arrive(a)
}

func (m *Manager) arrive(a Arrival) (Verdict, error) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[a.ID]
	var d *dial
	if p != nil && p.dial != nil && a.Side == muxer.Dialer {
		ended := m.endDial(p)
		d = &ended
		defer m.dialWake.wake()
	}
	var v Verdict
	var refusal *DisconnectError
	if d != nil && d.slot == slotFeeler {
		refusal = m.feelerEnded(a, p, now)
	} else {
		l := &link{id: a.LinkID, side: a.Side, acked: a.Acked, guest: a.Guest, dialed: a.Dialed, ip: a.IP, arrived: now}
		v, refusal = m.admission.admit(a, l, d, now)
		if refusal != nil && d != nil && d.slot == slotUpgrade {
			m.unclaim(a.ID)
		}
		if refusal != nil && a.Side == muxer.Dialer {
			m.record.dialRefused(a.ID, refusal, now)
		}
	}
	if p := m.peers[a.ID]; p != nil {
		m.tidy(p)
	}
	m.evictor.fillSlots()
	if refusal != nil {
		return Verdict{}, refusal
	}
	return v, nil
}

// feelerEnded records that a feeler's dial led to a link, and refuses the link.
func (m *Manager) feelerEnded(a Arrival, p *peer, now time.Time) *DisconnectError {
	reason := &DisconnectError{Code: muxer.CodeInquiryDone, Reason: "a short visit, to see that the address works"}
	ban, banned := m.store.Banned(a.ID, a.IP, now)
	if banned {
		reason = &DisconnectError{Code: muxer.CodeBanned, Reason: ban.Reason}
	}
	if m.record.feelerEnded(a, banned, now) {
		m.tally.FeelersWorked++
	}
	if a.Guest && (p.current == nil || p.current.guest) {
		m.record.rememberGuest(a.ID, now)
	}
	return reason
}

// Ready says that a link counts as up, with the channels that both ends serve; subscribers hear of it. It reports false
// if the link is not the peer's current one, or is to be closed; then nobody hears of it.
func (m *Manager) Ready(id transport.NodeID, linkID uint64, channels []byte) bool {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.links[linkID]
	if l == nil || l.peer.id != id || l.peer.current != l || l.evict != nil {
		return false
	}
	first := l.ready.IsZero()
	if l.slot == slotEntry && first && !m.evictor.enter(l) {
		m.evictor.request(id, full(l.bid))
		return false
	}
	if !l.guest {
		m.guests.set(id, false) // it may have joined our network
	}
	l.channels = append([]byte(nil), channels...)
	if first {
		l.ready = now
		m.record.linkReady(l, now)
	}
	if first && l.redial { // the peer lacks what we sent on the old link, and may have forgotten all: services begin anew
		m.subs.goDown(l.peer, Replaced())
	}
	l.peer.using = l
	m.subs.goUp(l.peer)
	if first {
		switch l.slot {
		case slotUpgrade:
			m.evictor.evictVictim(id, now)
		case slotOutbound:
			m.dialer.saveAnchors()
		}
		m.dialWake.wake() // it may become a victim
	}
	return true
}

// Graced says that the remote has accepted a link: it said so, it has used the link, or its time to refuse is over. Graced
// returns the standby link that is to be closed as a duplicate; 0 for none.
func (m *Manager) Graced(id transport.NodeID, linkID uint64) (duplicate uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.links[linkID]
	if l == nil || l.peer.id != id {
		return 0
	}
	l.graced = true
	p := l.peer
	if p.current != l || p.standby == nil {
		return 0
	}
	s := p.standby
	m.leave(s)
	s.evict, s.evicting = &DisconnectError{Code: muxer.CodeDuplicate}, true
	m.evictor.fillSlots()
	m.dialWake.wake()
	return s.id
}

// Disconnected says that a link has ended. It returns the standby link that takes its place, 0 for none: then that one is
// the peer's current link, and subscribers hear nothing.
func (m *Manager) Disconnected(id transport.NodeID, linkID uint64, reason *DisconnectError) (promote uint64) {
	now := time.Now()
	if reason == nil {
		reason = &DisconnectError{Code: muxer.CodeUnknown}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.links[linkID]
	if l == nil || l.peer.id != id {
		return 0
	}
	p, held := l.peer, l.slot
	wasCurrent := p.current == l
	m.removeLink(l)
	if s := p.standby; wasCurrent && s != nil && s.evict == nil {
		p.current, p.standby = s, nil
		promote = s.id
		if s.slot == slotNone { // it lent its slot to the one that has ended: see redialedBy
			m.setSlot(s, held)
		}
	} else if wasCurrent && s != nil {
		m.leave(s)
	}
	if p.current == nil && p.using == nil {
		m.subs.goDown(p, reason)
	}
	if p.current == nil && len(p.leaving) == 0 {
		m.record.linkEnded(l, reason, now)
	}
	if held == slotOutbound && reason.Code != muxer.CodeShuttingDown {
		m.dialer.saveAnchors()
	}
	m.tidy(p)
	m.evictor.fillSlots()
	m.dialWake.wake()
	m.evictor.wake.wake()
	return promote
}

// SetLatency records the round trip to a peer, one of the grounds that protect a link from eviction.
func (m *Manager) SetLatency(id transport.NodeID, rtt time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.peers[id]; p != nil && p.current != nil && rtt > 0 {
		p.current.latency = rtt
	}
}
