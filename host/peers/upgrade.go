package peers

import (
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// An upgrade is the probe of a better peer while all outbound slots are full. It claims one worse, unprotected outbound peer, its victim, which is
// evicted once the better one is up; no two upgrades claim the same victim.
//
// Whoever wants our slots can afford to be useful, always, so being more useful takes nobody's place: a victim is a peer that has done nothing useful in all the time of its
// link, or whose score is below zero. And the better one must have earned its score on links that we dialed (see creditOf) and be clearly above its victim. A victim rests for
// evictedPause afterwards. So upgrades come to rest, too.
const (
	upgradeMargin = 20               // points of score: what the better one has at least, and is above its victim
	upgradeAge    = 30 * time.Minute // how long a victim must have been up: services need some time to see what it is good for
	maxPromises   = 64
)

// promise remembers a peer whose score may earn it a slot: only a hint where to look, the decision asks the store. mu is held.
func (m *Manager) promise(id transport.NodeID) bool {
	if _, ok := m.promises[id]; ok {
		return true
	}
	if len(m.promises) >= maxPromises {
		now := time.Now()
		for other := range m.promises { // those whose score has decayed make room
			if rec, ok := m.store.Get(other); !ok || scoreAt(&rec, now) < upgradeMargin {
				delete(m.promises, other)
			}
		}
		if len(m.promises) >= maxPromises {
			return false
		}
	}
	m.promises[id] = struct{}{}
	return true
}

// tryUpgrade begins an upgrade if there is a clearly better peer and a slot for it; mu is held.
func (m *Manager) tryUpgrade(now time.Time) (Dial, bool) {
	if m.freeUpgrades() <= 0 {
		return Dial{}, false
	}
	best, bestScore := peerstore.Record{}, 0
	for id := range m.promises {
		rec, ok := m.store.Get(id)
		score := scoreAt(&rec, now)
		if !ok || score < upgradeMargin {
			delete(m.promises, id)
			continue
		}
		better := score > bestScore || score == bestScore && (best.ID == "" || id < best.ID)
		if m.peers[id] == nil && !m.trusted[id] && isDue(&rec, now) && better {
			if addrs, _, _ := m.dialable(&rec, now); len(addrs) > 0 {
				best, bestScore = rec, score
			}
		}
	}
	if best.ID == "" {
		return Dial{}, false
	}
	victim, ok := m.victim(bestScore, now)
	if !ok {
		return Dial{}, false
	}
	d, ok := m.dial(&best, slotUpgrade, now)
	if ok {
		m.claims[victim] = best.ID
	}
	return d, ok
}

// upgradeDue is when an outbound peer becomes old enough to be a victim, if an upgrade waits for one; mu is held.
func (m *Manager) upgradeDue(now time.Time) (at time.Time, ok bool) {
	if len(m.promises) == 0 || m.freeUpgrades() <= 0 || m.freeOutbound() > 0 {
		return at, false
	}
	for _, p := range m.peers {
		if l := p.current; l != nil && l.slot == slotOutbound && !l.ready.IsZero() {
			if old := l.ready.Add(upgradeAge); old.After(now) && (!ok || old.Before(at)) {
				at, ok = old, true
			}
		}
	}
	return at, ok
}

// victim is the worst outbound peer that no ground protects, that no other upgrade claims, that is of no use, and that is clearly worse than score; mu is held.
func (m *Manager) victim(score int, now time.Time) (transport.NodeID, bool) {
	links, _ := m.evictable(slotOutbound)
	safe := m.protected(links)
	var worst transport.NodeID
	worstScore := score - upgradeMargin
	for _, l := range links {
		id := l.peer.id
		if _, claimed := m.claims[id]; claimed || safe[l] || l.ready.IsZero() || now.Sub(l.ready) < upgradeAge {
			continue
		}
		rec, _ := m.store.Get(id)
		s := scoreAt(&rec, now)
		if l.useful > 0 && s >= 0 {
			continue
		}
		if s < worstScore || s == worstScore && worst == "" {
			worst, worstScore = id, s
		}
	}
	return worst, worst != ""
}

// unclaim lets go of the victim that a peer's upgrade has claimed; mu is held.
func (m *Manager) unclaim(claimer transport.NodeID) {
	for victim, by := range m.claims {
		if by == claimer {
			delete(m.claims, victim)
		}
	}
	if m.churner == claimer {
		m.churner = ""
	}
}

// reclaim makes sure that a peer's upgrade has a victim that is still there, or finds it another; mu is held.
func (m *Manager) reclaim(claimer transport.NodeID) bool {
	for victim, by := range m.claims {
		if p := m.peers[victim]; by == claimer && p != nil && p.current != nil && p.current.slot == slotOutbound {
			return true
		}
	}
	m.unclaim(claimer)
	rec, _ := m.store.Get(claimer)
	now := time.Now()
	victim, ok := m.victim(scoreAt(&rec, now), now)
	if ok {
		m.claims[victim] = claimer
	}
	return ok
}

// evictVictim asks for the end of the victim, now that the upgrade is up; mu is held. When no victim is left, the upgrade itself goes.
func (m *Manager) evictVictim(claimer transport.NodeID) {
	reason := whyUpgrade
	if m.churner == claimer {
		reason = whyChurn
	}
	if m.reclaim(claimer) {
		for victim, by := range m.claims {
			if by == claimer {
				m.requestEvict(victim, &DisconnectError{Code: muxer.CodeEvicted, Reason: reason})
			}
		}
		return
	}
	m.requestEvict(claimer, fullUp(slotOutbound))
}

// settleUpgrades gives free slots to those that wait for one; free outbound slots to the upgrades, which thereby become ordinary links and dials; mu is held.
func (m *Manager) settleUpgrades() {
	m.settleEntries()
	if m.linked[slotUpgrade]+m.dialing[slotUpgrade] == 0 || m.freeOutbound() <= 0 {
		return
	}
	for _, p := range m.sortedPeers() {
		for _, l := range []*linkState{p.current, p.standby} {
			if l != nil && l.slot == slotUpgrade && m.freeOutbound() > 0 {
				m.setSlot(l, slotOutbound)
			}
		}
		if p.dial != nil && p.dial.slot == slotUpgrade && m.freeOutbound() > 0 {
			m.dialing[slotUpgrade]--
			m.dialing[slotOutbound]++
			p.dial.slot = slotOutbound
			m.unclaim(p.id)
		}
	}
}
