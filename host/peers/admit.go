package peers

import (
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Dialed tells of a link that a dial has brought up. A refusal is a *DisconnectError; it ends the dial, so neither DialFailed nor Disconnected is called
// after it.
func (m *Manager) Dialed(a Arrival) (Verdict, error) {
	a.Side = muxer.Dialer
	return m.arrive(a)
}

// Accepted tells of a link from a remote that dialed us. A refusal is a *DisconnectError; Disconnected is not called after it.
func (m *Manager) Accepted(a Arrival) (Verdict, error) {
	a.Side = muxer.Listener
	return m.arrive(a)
}

func (m *Manager) arrive(a Arrival) (Verdict, error) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.feelerOf(a); d != nil {
		return Verdict{}, m.feelerUp(a, now)
	}
	l := &linkState{id: a.LinkID, side: a.Side, acked: a.Acked, guest: a.Guest, dialed: a.Dialed, ip: a.IP, arrived: now}
	var d *dialState
	if p := m.peers[a.ID]; p != nil && p.dial != nil && a.Side == muxer.Dialer {
		ended := m.endDial(p)
		d = &ended
	}
	v, refusal := m.admit(a, l, d, now)
	if refusal != nil {
		if d != nil && d.slot == slotUpgrade {
			m.unclaim(a.ID)
		}
		if a.Side == muxer.Dialer {
			m.refusedDial(a, refusal, now)
		}
	}
	if p := m.peers[a.ID]; p != nil {
		m.tidy(p)
	}
	m.settleUpgrades()
	if d != nil {
		m.dialWake.wake()
	}
	if refusal != nil {
		return Verdict{}, refusal
	}
	return v, nil
}

// admit decides on a link and takes it in. d is the dial that brought it, if one did; its slot has been given back, its claim not. mu is held.
func (m *Manager) admit(a Arrival, l *linkState, d *dialState, now time.Time) (Verdict, *DisconnectError) {
	switch {
	case a.ID == "" || a.LinkID == 0 || m.links[a.LinkID] != nil:
		return Verdict{}, &DisconnectError{Code: muxer.CodeUnknown, Reason: "a link without a node id or a name of its own"}
	case a.ID == m.self:
		return Verdict{}, &DisconnectError{Code: muxer.CodeSelf, Reason: "we reached ourselves"}
	}
	if ban, ok := m.store.Banned(a.ID, a.IP, now); ok {
		return Verdict{}, &DisconnectError{Code: muxer.CodeBanned, Reason: ban.Reason}
	}
	requested := d != nil && d.requested
	if !requested && !m.exempt(a.ID) {
		if refusal := m.checkIP(a.IP); refusal != nil {
			return Verdict{}, refusal
		}
	}
	p := m.peers[a.ID]
	if p != nil {
		if refusal := p.checkDuplicate(l, m.self, now); refusal != nil {
			return Verdict{}, refusal
		}
	}
	redialed := p != nil && p.redialedBy(l.side, now)
	if a.Guest && (p == nil || p.current == nil || p.current.guest) {
		m.rememberGuest(a.ID, now)
	}
	s, bid, refusal := m.slotFor(a, p, d, now)
	if refusal != nil {
		return Verdict{}, refusal
	}
	l.bid = bid
	if l.slot = s; s != slotUpgrade && d != nil && d.slot == slotUpgrade {
		m.unclaim(a.ID)
	}

	if p == nil {
		p = m.peer(a.ID)
	}
	l.peer = p
	m.addLink(l)
	m.store.Ensure(a.ID, now, func(rec *peerstore.Record) { rec.Busy = true })
	p.busy = true
	if p.current != nil && p.current.evict != nil { // a request ends all links of a peer: so the standby is on its way out too
		m.leave(p.current)
		if p.standby != nil {
			m.leave(p.standby)
		}
	}
	switch {
	case p.current == nil:
		p.current = l
	case redialed, preferred(l, p.current, m.self) == l:
		old := p.current
		if l.redial = redialed; redialed && old.slot == l.slot { // the new one has its slot; should it be ended first, the old one gets it back
			m.setSlot(old, slotNone)
		}
		p.current, p.standby = l, old
		return Verdict{Replaces: p.standby.id}, nil
	default:
		p.standby = l
		return Verdict{Standby: true}, nil
	}
	return Verdict{}, nil
}

// preferred is which of two links of a peer both ends keep: the one that the lower node id dialed. Of two that the same end dialed it is the older one.
func preferred(l, current *linkState, self transport.NodeID) *linkState {
	if l.side == current.side {
		return current
	}
	if (l.side == muxer.Dialer) == (self < current.peer.id) {
		return l
	}
	return current
}

// redialAfter is how old a link must be before another one that the same remote dials takes its place. Until then it may be the other half of a
// simultaneous dial.
const redialAfter = 5 * time.Second

// redialedBy says that a new link from the peer takes the place of its settled one: the remote would not have dialed if it still had that. It has rebooted, or
// (CometBFT) lost track of it. The old one is kept until the new one has proven to be alive; then subscribers hear that the peer went down and is up.
func (p *peerState) redialedBy(side muxer.Side, now time.Time) bool {
	c := p.current
	after := redialAfter
	if c != nil && c.acked { // dials may take as long as they like: both ends agree on one
		after = simultaneity
	}
	return side == muxer.Listener && c != nil && c.evict == nil && p.standby == nil && c.settled(now) && now.Sub(c.arrived) > after
}

// Replaced is why a link ends whose place another one takes.
func Replaced() *DisconnectError {
	return &DisconnectError{Code: muxer.CodeDuplicate, Reason: "replaced by a newer link"}
}

// checkDuplicate says whether a new link is one too many. While the remote may still be about to decline the current one, it is not.
//
// Which of two simultaneous dials both ends keep: where the ends can tell each other whether they take a link, the lower node id decides. It takes the first that
// comes and refuses the second; the higher one takes what it gets, so the two never take different ones, and no link is given up that was in use. On a wire without
// that (comet) both take both, and keep the one that the lower id dialed: see preferred.
func (p *peerState) checkDuplicate(l *linkState, self transport.NodeID, now time.Time) *DisconnectError {
	c := p.current
	if c == nil || c.evict != nil {
		return nil
	}
	duplicate := &DisconnectError{Code: muxer.CodeDuplicate, Reason: "the peer has another link"}
	switch {
	case p.redialedBy(l.side, now):
		return nil
	case c.settled(now), p.standby != nil:
		return duplicate
	case c.acked && l.acked && self < p.id:
		return duplicate
	}
	return nil
}

// slotFor chooses the budget of a new link, or refuses it with the limit that is reached; mu is held. Where the budget of those that dial us is full and somebody would
// make room for this one, that is slotEntry, and bid is the budget.
func (m *Manager) slotFor(a Arrival, p *peerState, d *dialState, now time.Time) (s, bid slot, refusal *DisconnectError) {
	if m.exempt(a.ID) || (d != nil && d.requested) {
		return slotTrusted, 0, nil
	}
	own := func(s slot) int { // slots that the peer's own leaving links give up
		n := 0
		if p != nil && p.redialedBy(a.Side, now) && p.current.slot == s {
			return 1
		}
		if p != nil && p.current != nil && p.current.evict != nil {
			for _, l := range []*linkState{p.current, p.standby} {
				if l != nil && l.slot == s {
					n++
				}
			}
		}
		return n
	}
	if a.Side == muxer.Listener {
		s := slotInbound
		if a.Guest {
			s = slotGuest
		}
		switch {
		case m.linked[s]-own(s) < m.limitOf(s):
			return s, 0, nil
		case (p == nil || p.current == nil) && m.mayEnter(s, a.IP):
			return slotEntry, s, nil
		}
		return slotNone, 0, fullUp(s)
	}
	switch {
	case a.Guest:
		return slotNone, 0, &DisconnectError{Code: muxer.CodeIncompatible, Reason: notOurs}
	case m.freeOutbound()+own(slotOutbound) > 0:
		return slotOutbound, 0, nil
	case d != nil && d.slot == slotUpgrade && m.reclaim(a.ID):
		return slotUpgrade, 0, nil
	}
	return slotNone, 0, fullUp(slotOutbound)
}

// fullUp refuses a link because its budget has no room.
func fullUp(s slot) *DisconnectError {
	reason := map[slot]string{slotInbound: "all inbound slots are taken", slotOutbound: "all outbound slots are taken",
		slotGuest: "all places for guests (plain libp2p peers) are taken"}[s]
	return &DisconnectError{Code: muxer.CodeTooManyPeers, Limit: limitKeys[s], Reason: reason}
}

// checkIP refuses a link when its IP or network group has as many as it may; mu is held.
func (m *Manager) checkIP(addr netip.Addr) *DisconnectError {
	if len(m.byIP) == 0 {
		return nil
	}
	ip, group, ok := ipKeys(addr)
	switch {
	case !ok:
		return nil
	case m.byIP[ip] >= m.cfg.ConnectionsPerIP:
		return &DisconnectError{Code: muxer.CodeTooManyPeers, Limit: "limits.connections_per_ip", Reason: "too many links from " + ip.String()}
	case m.byGroup[group] >= m.cfg.ConnectionsPerGroup:
		return &DisconnectError{Code: muxer.CodeTooManyPeers, Limit: "limits.connections_per_group", Reason: "too many links from " + group.String()}
	}
	return nil
}

// Ready says that a link counts as up, with the channels that both ends serve; subscribers hear of it. False says that it is not the peer's current
// link, or is to be ended: then nobody hears of it.
func (m *Manager) Ready(id transport.NodeID, linkID uint64, channels []byte) bool {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.links[linkID]
	if l == nil || l.peer.id != id || l.peer.current != l || l.evict != nil {
		return false
	}
	first := l.ready.IsZero()
	if l.slot == slotEntry && first && !m.enter(l) {
		m.requestEvict(id, fullUp(l.bid))
		return false
	}
	if !l.guest && m.guests[id] { // it has become one of ours
		delete(m.guests, id)
		m.saveGuests()
	}
	l.channels = append([]byte(nil), channels...)
	if first {
		l.ready = now
		m.store.Update(id, func(rec *peerstore.Record) {
			rec.LastConnected = now
			if !l.guest {
				rec.Quarantined, rec.QuarantineReason = time.Time{}, ""
			}
			if a := addressOf(rec, l.dialed); a != nil {
				a.LastSuccess, a.LastError = now, ""
			}
		})
	}
	if first && l.redial { // the peer has not what we sent on the old link, and has perhaps forgotten all: services begin anew
		m.goDown(l.peer, Replaced())
	}
	l.peer.using = l
	m.goUp(l.peer)
	if first && l.slot == slotUpgrade {
		m.evictVictim(id)
	}
	if first && l.slot == slotOutbound {
		m.saveAnchors()
	}
	if first {
		m.dialWake.wake() // it may have become a victim
	}
	return true
}

// Graced says that the grace of a link is over, or that the remote has used it: the remote has accepted it. It returns the standby link that is to be
// closed as a duplicate now; 0 for none.
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
	m.settleUpgrades()
	m.dialWake.wake()
	return s.id
}

// Disconnected says that a link has ended. It returns the standby link that takes its place, 0 for none: then that one is the peer's current link, and
// subscribers hear nothing.
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
	p := l.peer
	was, held := p.current == l, l.slot
	outbound := held == slotOutbound
	m.removeLink(l)
	if s := p.standby; was && s != nil && s.evict == nil {
		p.current, p.standby = s, nil
		promote = s.id
		if s.slot == slotNone { // see redialedBy: it lent its slot to the one that has ended
			m.setSlot(s, held)
		}
	} else if was && s != nil {
		m.leave(s)
	}
	if p.current == nil && p.using == nil {
		m.goDown(p, reason)
	}
	if p.current == nil && len(p.leaving) == 0 {
		m.rest(l, reason, now)
	}
	if outbound && reason.Code != muxer.CodeShuttingDown {
		m.saveAnchors()
	}
	m.tidy(p)
	m.settleUpgrades()
	m.dialWake.wake()
	m.evictWake.wake()
	return promote
}
