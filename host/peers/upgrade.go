package peers

import (
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// An upgrade dials a peer while all outbound slots are full. Once it is up, an outbound peer gives its slot to it: the
// victim, which is chosen at that moment.
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

// worst returns the worst outbound peer's link that is unprotected, useless, and clearly worse than score; nil if there
// is none.
func (e *evictor) worst(score int, now time.Time) (worst *link) {
	links, _ := e.evictable(slotOutbound)
	safe := e.grounds.protected(links)
	worstScore := score - upgradeMargin
	for _, l := range links {
		if safe[l] != unprotected || l.ready.IsZero() || now.Sub(l.ready) < upgradeAge {
			continue
		}
		rec, _ := e.store.Get(l.peer.id)
		s := Score(&rec, now)
		if l.useful > 0 && s >= 0 {
			continue
		}
		if s < worstScore || s == worstScore && worst == nil {
			worst, worstScore = l, s
		}
	}
	return worst
}

// victim returns the link that makes room for an upgrade, and why; nil if there is none.
func (e *evictor) victim(l *link, now time.Time) (victim *link, why string) {
	switch {
	case !l.lost.IsZero():
		return e.youngestSince(l.lost), whyFound
	case l.churn:
		groups := []peerstore.Group{l.named}
		if l.group != l.named {
			groups = append(groups, l.group)
		}
		if links := e.exchangeable(l, now, groups...); len(links) > 0 {
			victim = links[e.rng.IntN(len(links))]
		}
		return victim, whyChurn
	}
	rec, _ := e.store.Get(l.peer.id)
	return e.worst(Score(&rec, now), now), whyUpgrade
}

// replace asks for the end of the victim of an upgrade. It reports whether there is one.
func (e *evictor) replace(l *link, now time.Time) bool {
	victim, why := e.victim(l, now)
	return victim != nil && e.request(victim.peer.id, &DisconnectError{Code: muxer.CodeEvicted, Reason: why})
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
	if d.evictor.worst(score, now) == nil {
		return Dial{}, false
	}
	return d.begin(&best, dial{slot: slotUpgrade}, now)
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
