package peers

import (
	"cmp"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// This file and Query.Avoid keep the outbound links from all being one attacker's: anchors after a restart, churn, and
// feelers.

// anchors are the outbound peers of the last run.
type anchors struct {
	pending []transport.NodeID // not tried in this run yet
	saved   []transport.NodeID // as the store has them
}

// recall reads the anchors of the last run.
func (a *anchors) recall(store peerstore.Store, most int) {
	a.saved = splitIDs(store.Meta(metaAnchors))
	a.pending = slices.Clone(a.saved[:min(len(a.saved), most)])
}

// dialAnchor dials the next anchor that can be dialed. Anchors come first after a start, so that an attacker who has
// filled our store in the meantime does not get all our links.
func (d *dialer) dialAnchor(now time.Time) (Dial, bool) {
	a := &d.anchors
	for len(a.pending) > 0 && d.freeOutbound() > 0 {
		id := a.pending[0]
		a.pending = a.pending[1:]
		if rec, ok := d.store.Get(id); ok && d.peers[id] == nil && !d.trusted[id] && isDue(&rec, now) {
			if out, ok := d.begin(&rec, dial{slot: slotOutbound}, now); ok {
				return out, true
			}
		}
	}
	return Dial{}, false
}

// saveAnchors remembers the outbound peers that have been up the longest, each of another network group. While there
// are too few, earlier anchors stay.
func (d *dialer) saveAnchors() {
	var links []*link
	for _, p := range d.peers {
		if l := p.preferred; l != nil && l.slot == slotOutbound && !l.ready.IsZero() {
			links = append(links, l)
		}
	}
	slices.SortFunc(links, func(a, b *link) int { return cmp.Or(a.ready.Compare(b.ready), older(a, b)) })
	var ids []transport.NodeID
	groups := map[peerstore.Group]bool{}
	for _, l := range links {
		if len(ids) < d.cfg.Anchors && (l.group.IsZero() || !groups[l.group]) {
			ids = append(ids, l.peer.id)
			groups[l.group] = true
		}
	}
	for _, id := range d.anchors.saved {
		if len(ids) < d.cfg.Anchors && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if !slices.Equal(ids, d.anchors.saved) {
		d.anchors.saved = ids
		d.store.SetMeta(metaAnchors, joinIDs(ids))
	}
}

// churnAge is how long an outbound peer must have been up to be exchanged: losing a young link gains nothing.
const churnAge = 2 * time.Minute

// churn begins to exchange an outbound peer if that is due: another peer is dialed beyond the slots, as for an upgrade,
// and once it is up an unprotected one gives way. The choice is random, whatever the scores: an attacker's are good. So
// there are never fewer links for it.
func (d *dialer) churn(now time.Time) (Dial, bool) {
	if !d.mayChurn() || d.churnAt.After(now) {
		return Dial{}, false
	}
	d.churnAt = now.Add(d.unpredictable(d.cfg.Churn))
	rec, ok := d.store.Next(now, d.query(nil, now))
	if !ok || d.trusted[rec.ID] || d.guests.named[rec.ID] {
		return Dial{}, false
	}
	var group peerstore.Group
	if addrs := d.sortAddresses(&rec, now).due; len(addrs) > 0 {
		group = d.groups.Of(addrs[0])
	}
	if len(d.evictor.exchangeable(nil, now, group)) == 0 {
		return Dial{}, false
	}
	return d.begin(&rec, dial{slot: slotUpgrade, churn: true}, now)
}

// exchangeable returns the outbound links that may be exchanged for one to a peer of the given network groups; newcomer
// is that link, if it is there already. If a group of it has its share, one of that group gives way.
func (e *evictor) exchangeable(newcomer *link, now time.Time, groups ...peerstore.Group) []*link {
	links, _ := e.evictable(slotOutbound)
	safe, counts := e.grounds.protected(links), e.outboundGroups()
	if newcomer != nil {
		for _, g := range groups {
			counts[g]--
		}
	}
	return slices.DeleteFunc(links, func(l *link) bool {
		if safe[l] != unprotected || l.ready.IsZero() || now.Sub(l.ready) < churnAge {
			return true
		}
		return slices.ContainsFunc(groups, func(g peerstore.Group) bool {
			return counts[g] >= e.cfg.OutboundPerGroup && l.group != g && l.named != g
		})
	})
}

// mayChurn reports whether an outbound peer may be exchanged: links hold all slots, and no upgrade is in progress.
func (d *dialer) mayChurn() bool {
	return d.cfg.Churn > 0 && d.cfg.MaxOutbound > 0 && d.linked[slotOutbound] >= d.cfg.MaxOutbound &&
		d.cfg.MaxUpgrades > 0 && d.freeUpgrades() == d.cfg.MaxUpgrades
}

// churnDue returns when the next outbound peer is to be exchanged.
func (d *dialer) churnDue(now time.Time) (time.Time, bool) {
	return d.churnAt, d.mayChurn() && d.churnAt.After(now)
}

// contestHaste is how many times faster feelers follow each other while tried peers must show that they still work.
const contestHaste = 4

// feeler begins a feeler if one is due. A feeler is a short dial that only tests an address, while all outbound slots
// are full: so the store always knows enough addresses that work, and nobody fills it with others. The store says whom
// to test: tried peers whose place another one claims, else new ones. Once the handshake has proven the key and told
// the node info, the address counts as one that works, and the link is refused with CodeInquiryDone before anybody
// hears of it.
func (d *dialer) feeler(now time.Time) (Dial, bool) {
	if !d.mayFeel() || d.feelerAt.After(now) {
		return Dial{}, false
	}
	d.feelerAt = now.Add(d.unpredictable(d.cfg.Feelers))
	rejected := rejects{}
	q := peerstore.Query{Skip: d.query(rejected, now).Skip}
	for range maxLooks {
		rec, ok := d.store.Feeler(now, q)
		if !ok {
			break
		}
		if out, ok := d.begin(&rec, dial{slot: slotFeeler}, now); ok {
			if rec.InTried { // others may wait for their test, and lose their place without one
				d.feelerAt = now.Add(d.unpredictable(d.cfg.Feelers / contestHaste))
			}
			return out, true
		}
		rejected[rec.ID] = true
	}
	return Dial{}, false
}

// mayFeel reports whether a feeler may be dialed: one at a time, with all outbound slots full.
func (d *dialer) mayFeel() bool {
	return d.cfg.Feelers > 0 && d.cfg.MaxOutbound > 0 && d.freeOutbound() <= 0 && d.dialing[slotFeeler] == 0
}

// feelerDue returns when the next feeler is to be dialed.
func (d *dialer) feelerDue(now time.Time) (time.Time, bool) {
	return d.feelerAt, d.mayFeel() && d.feelerAt.After(now)
}
