package peers

import (
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// An upgrade probes a better peer while all outbound slots are full. It claims a worse, unprotected outbound peer, its
// victim, which is evicted once the better one is up. No two upgrades claim the same victim.
//
// An attacker can afford to be useful all the time, so being more useful takes nobody's place. A victim has done
// nothing useful during all of its link, or has a score below zero. The better peer must have earned its score on links
// that we dialed (see creditOf) and be clearly above its victim. A victim is not dialed again for evictedBackoff, so
// upgrades come to rest.
const (
	upgradeMargin = 20               // points that the better peer has at least, and is above its victim
	upgradeAge    = 30 * time.Minute // minimum age of a victim's link: services need time to see what it is good for
	maxPromises   = 64
)

// claim says who gets the slot of a victim.
type claim struct {
	by    transport.NodeID
	churn bool // it is an exchange by chance, not by score
}

// victimOf returns the victim that a peer's upgrade has claimed.
func (t *table) victimOf(claimer transport.NodeID) (victim transport.NodeID, c claim, ok bool) {
	for victim, c := range t.claims {
		if c.by == claimer {
			return victim, c, true
		}
	}
	return "", claim{}, false
}

// unclaim releases the victim that a peer's upgrade has claimed.
func (t *table) unclaim(claimer transport.NodeID) {
	if victim, _, ok := t.victimOf(claimer); ok {
		delete(t.claims, victim)
	}
}

// chooseVictim returns the worst outbound peer that is unprotected, unclaimed, useless, and clearly worse than score.
func (e *evictor) chooseVictim(score int, now time.Time) (transport.NodeID, bool) {
	links, _ := e.evictable(slotOutbound)
	safe := e.grounds.protected(links)
	var worst transport.NodeID
	worstScore := score - upgradeMargin
	for _, l := range links {
		id := l.peer.id
		if _, claimed := e.claims[id]; claimed || safe[l] || l.ready.IsZero() || now.Sub(l.ready) < upgradeAge {
			continue
		}
		rec, _ := e.store.Get(id)
		s := Score(&rec, now)
		if l.useful > 0 && s >= 0 {
			continue
		}
		if s < worstScore || s == worstScore && worst == "" {
			worst, worstScore = id, s
		}
	}
	return worst, worst != ""
}

// keepVictim makes sure that a peer's upgrade has a victim that is still there, or finds it another one.
func (e *evictor) keepVictim(claimer transport.NodeID, now time.Time) bool {
	if victim, _, ok := e.victimOf(claimer); ok {
		if p := e.peers[victim]; p != nil && p.preferred != nil && p.preferred.slot == slotOutbound {
			return true
		}
		delete(e.claims, victim)
	}
	rec, _ := e.store.Get(claimer)
	victim, ok := e.chooseVictim(Score(&rec, now), now)
	if ok {
		e.claims[victim] = claim{by: claimer}
	}
	return ok
}

// evictVictim asks for the end of the victim, now that the upgrade is up. If no victim is left, the upgrade itself
// ends.
func (e *evictor) evictVictim(claimer transport.NodeID, now time.Time) {
	_, c, _ := e.victimOf(claimer) // before another one is chosen
	if !e.keepVictim(claimer, now) {
		e.request(claimer, full(slotOutbound))
		return
	}
	reason := whyUpgrade
	if c.churn {
		reason = whyChurn
	}
	victim, _, _ := e.victimOf(claimer)
	e.request(victim, &DisconnectError{Code: muxer.CodeEvicted, Reason: reason})
}

// promises holds peers whose score may earn them an upgrade, at most maxPromises. They are only hints where to look:
// the decision asks the store.
type promises struct {
	store peerstore.Store
	ids   map[transport.NodeID]struct{}
}

// recall takes up the peers that earned a good score in an earlier run.
func (p *promises) recall(now time.Time) {
	looked := 0
	p.store.Range(func(rec peerstore.Record) bool {
		if Score(&rec, now) >= upgradeMargin {
			p.ids[rec.ID] = struct{}{}
		}
		looked++
		return looked < maxPromises
	})
}

// add remembers a peer. It reports whether there was room.
func (p *promises) add(id transport.NodeID, now time.Time) bool {
	if _, ok := p.ids[id]; !ok && len(p.ids) >= maxPromises {
		p.prune(now)
		if len(p.ids) >= maxPromises {
			return false
		}
	}
	p.ids[id] = struct{}{}
	return true
}

// prune forgets peers whose score has decayed.
func (p *promises) prune(now time.Time) {
	for id := range p.ids {
		if rec, ok := p.store.Get(id); !ok || Score(&rec, now) < upgradeMargin {
			delete(p.ids, id)
		}
	}
}

// best returns the peer with the best score, of those that may be dialed.
func (p *promises) best(
	now time.Time, mayDial func(*peerstore.Record) bool,
) (rec peerstore.Record, score int, ok bool) {
	p.prune(now)
	for id := range p.ids {
		r, _ := p.store.Get(id)
		s := Score(&r, now)
		if better := s > score || s == score && id < rec.ID; (!ok || better) && mayDial(&r) {
			rec, score, ok = r, s, true
		}
	}
	return rec, score, ok
}

// upgrade begins an upgrade if there is a clearly better peer, and a victim for it.
func (d *dialer) upgrade(now time.Time) (Dial, bool) {
	if d.freeUpgrades() <= 0 {
		return Dial{}, false
	}
	best, score, ok := d.promises.best(now, func(rec *peerstore.Record) bool {
		return d.peers[rec.ID] == nil && !d.trusted[rec.ID] && isDue(rec, now) && d.sortAddresses(rec, now).due != nil
	})
	if !ok {
		return Dial{}, false
	}
	victim, ok := d.evictor.chooseVictim(score, now)
	if !ok {
		return Dial{}, false
	}
	out, ok := d.begin(&best, slotUpgrade, now)
	if ok {
		d.claims[victim] = claim{by: best.ID}
	}
	return out, ok
}

// upgradeDue returns when an outbound peer becomes old enough to be a victim, if an upgrade waits for one.
func (d *dialer) upgradeDue(now time.Time) (at time.Time, ok bool) {
	if len(d.promises.ids) == 0 || d.freeUpgrades() <= 0 || d.freeOutbound() > 0 {
		return at, false
	}
	for _, p := range d.peers {
		if l := p.preferred; l != nil && l.slot == slotOutbound && !l.ready.IsZero() {
			if old := l.ready.Add(upgradeAge); old.After(now) && (!ok || old.Before(at)) {
				at, ok = old, true
			}
		}
	}
	return at, ok
}
