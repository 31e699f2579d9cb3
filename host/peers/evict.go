package peers

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// EvictNext waits for a link that is to be ended. Each Eviction is to be answered by Disconnected.
func (m *Manager) EvictNext(ctx context.Context) (Eviction, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Eviction{}, err
		}
		if e, ok := m.TryEvictNext(); ok {
			m.evictWake.wake() // there may be more, for another caller
			return e, nil
		}
		select {
		case <-m.evictWake:
		case <-ctx.Done():
		}
	}
}

// TryEvictNext is EvictNext that does not wait. What was asked for goes first, in order; otherwise, beyond capacity, one that is not protected goes.
func (m *Manager) TryEvictNext() (Eviction, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.evictQ) > 0 {
		l := m.links[m.evictQ[0]]
		m.evictQ = m.evictQ[1:]
		if l != nil && l.evict != nil && !l.evicting {
			l.evicting = true
			return Eviction{ID: l.peer.id, LinkID: l.id, Reason: l.evict}, true
		}
	}
	for _, b := range [...]slot{slotInbound, slotOutbound, slotGuest} {
		if m.linked[b] <= m.limitOf(b) {
			continue
		}
		candidates, leaving := m.evictable(b)
		if m.linked[b]-leaving <= m.limitOf(b) || len(candidates) == 0 {
			continue
		}
		l := m.crowdedOut(b, 0)
		if l == nil { // all are protected
			l = slices.MaxFunc(candidates, older)
		}
		l.evict, l.evicting = &DisconnectError{Code: muxer.CodeEvicted, Limit: limitKeys[b], Reason: whyCapacity}, true
		m.tally.Evicted[causeOf(l.evict)]++
		return Eviction{ID: l.peer.id, LinkID: l.id, Reason: l.evict}, true
	}
	return Eviction{}, false
}

// Why links end for others, in words.
const (
	whyCrowded  = "a peer of a less crowded network group took the place"
	whyUpgrade  = "a better peer took the slot"
	whyChurn    = "its turn to make room for another peer"
	whyCapacity = "more links than there is room for"
)

// causeOf is why a link was ended, in a word.
func causeOf(reason *DisconnectError) string {
	switch reason.Reason {
	case whyCrowded:
		return "crowded"
	case whyUpgrade:
		return "upgrade"
	case whyChurn:
		return "churn"
	case whyCapacity:
		return "capacity"
	}
	return reason.Code.String()
}

// limitKeys are the configuration keys of the budgets.
var limitKeys = [slotKinds]string{slotInbound: "peers.max_inbound", slotOutbound: "peers.max_outbound", slotGuest: "peers.guests"}

// limitOf is how many links a budget has room for.
func (m *Manager) limitOf(s slot) int {
	switch s {
	case slotInbound:
		return m.cfg.MaxInbound
	case slotOutbound:
		return m.cfg.MaxOutbound
	case slotGuest:
		return m.cfg.Guests
	}
	return math.MaxInt
}

// evictable are the links of a budget that may be ended for want of room, and how many more are on their way out already; mu is held. A peer with
// a standby is left alone: it is about to lose a link anyway.
func (m *Manager) evictable(s slot) (candidates []*linkState, leaving int) {
	for _, p := range m.sortedPeers() {
		for _, l := range []*linkState{p.current, p.standby} {
			switch {
			case l == nil || l.slot != s:
			case l.evict != nil:
				leaving++
			case l == p.current && p.standby == nil:
				candidates = append(candidates, l)
			}
		}
	}
	return candidates, leaving
}

// requestEvict asks for the end of all links of a peer; the first reason counts. It says whether there was one to end. mu is held.
func (m *Manager) requestEvict(id transport.NodeID, reason *DisconnectError) bool {
	p := m.peers[id]
	if p == nil {
		return false
	}
	asked := false
	defer func() {
		if asked {
			m.tally.Evicted[causeOf(reason)]++
		}
	}()
	for _, l := range []*linkState{p.current, p.standby} {
		if l != nil && l.evict == nil {
			l.evict = reason
			m.evictQ = append(m.evictQ, l.id)
			asked = true
		}
	}
	if asked {
		m.evictWake.wake()
	}
	return asked
}

// Disconnect asks for the end of the link to a peer, by way of EvictNext. It says whether there was one.
func (m *Manager) Disconnect(id transport.NodeID, reason *DisconnectError) bool {
	if reason == nil {
		reason = &DisconnectError{Code: muxer.CodeRequested}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requestEvict(id, reason)
}

// Errored says that a peer did something that its link cannot go on after. A peer without a link is ignored.
func (m *Manager) Errored(id transport.NodeID, err error) {
	var reason *DisconnectError
	if !errors.As(err, &reason) {
		code, remote := codeOf(err)
		if code == muxer.CodeTransport {
			code = muxer.CodeProtocolError
		}
		reason = &DisconnectError{Code: code, Remote: remote, Err: err}
	}
	m.Disconnect(id, reason)
}

// SetLatency tells the round trip to a peer, one of the grounds that protect a link from eviction.
func (m *Manager) SetLatency(id transport.NodeID, rtt time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.peers[id]; p != nil && p.current != nil && rtt > 0 {
		p.current.latency = rtt
	}
}

// Ban refuses a node id, an IP or a network until the given time (the zero time: for ever), and ends the links that match, by way of EvictNext. The error
// says that the target is not one, or that the ban could not be written to disk; in the second case it holds in memory all the same.
func (m *Manager) Ban(target peerstore.Target, until time.Time, reason string) error {
	switch {
	case (target.ID == "") == !target.Prefix.IsValid():
		return errors.New("ban: name a node id, an IP or a network, one of them")
	case target.ID == m.self:
		return errors.New("ban: that is our own node id")
	}
	now := time.Now()
	if !until.IsZero() && !until.After(now) {
		return errors.New("ban: its end is in the past")
	}
	err := m.store.Ban(peerstore.Ban{Target: target, Since: now, Until: until, Reason: cut(reason, 256)})
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.sortedPeers() {
		match := p.id == target.ID
		for _, l := range p.links() {
			match = match || target.Prefix.IsValid() && target.Prefix.Contains(l.ip.Unmap().WithZone(""))
		}
		if match {
			m.requestEvict(p.id, &DisconnectError{Code: muxer.CodeBanned, Reason: reason})
		}
	}
	return err
}

// Unban lifts a ban; false says that there was none. The error is as for Ban.
func (m *Manager) Unban(target peerstore.Target) (bool, error) {
	was, err := m.store.Unban(target)
	m.mu.Lock()
	if m.offences.drop(target) {
		m.saveOffences(time.Now())
	}
	m.mu.Unlock()
	if was && target.ID != "" {
		m.store.Update(target.ID, func(rec *peerstore.Record) { rec.NotBefore = time.Time{} })
	}
	m.dialWake.wake()
	return was, err
}

// Banned says whether an id or an IP (either may be empty) is banned, and by which entry.
func (m *Manager) Banned(id transport.NodeID, ip netip.Addr) (peerstore.Ban, bool) {
	return m.store.Banned(id, ip, time.Now())
}
