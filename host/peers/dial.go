package peers

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// maxLooks bounds how many peers a search looks at that turn out not to be dialable (banned, at a limit), before it
// releases the lock for a moment. They back off afterwards.
const maxLooks = 32

// dialer chooses the next peer to dial. What it knows of peers that are neither linked nor being dialed is in the store
// alone, and each search derives its answer from there.
type dialer struct {
	*table
	evictor  *evictor
	selves   *selves
	guests   *guests
	promises promises
	anchors  anchors
	pace     pace
	lost     lost
	moves    moves
	feelerAt time.Time // when the next feeler is due
	churnAt  time.Time // when the next outbound peer is due to be exchanged
}

// rejects holds peers that one search has looked at and rejected.
type rejects map[transport.NodeID]bool

// recall takes up what the last run left: the anchors, and the peers that have earned a good score.
func (d *dialer) recall(now time.Time) {
	d.anchors.recall(d.store, d.cfg.Anchors)
	d.promises.recall(now)
	d.feelerAt = now.Add(d.unpredictable(d.cfg.Feelers))
	d.churnAt = now.Add(d.unpredictable(d.cfg.Churn))
}

// look looks at the next few peers. again reports that there are more.
func (d *dialer) look(now time.Time, rejected rejects) (out Dial, ok, again bool) {
	if d.inFlight() >= d.pace.window || d.pace.due().After(now) {
		return out, false, false
	}
	if len(d.lost.peers) > 0 {
		if out, ok := d.dialLost(now); ok {
			return out, true, false
		}
	}
	if out, ok := d.dialAnchor(now); ok {
		return out, true, false
	}
	if len(d.moves.due) > 0 {
		if out, ok := d.move(now); ok {
			return out, true, false
		}
	}
	q := d.query(rejected, now)
	for range maxLooks {
		rec, found := d.store.Next(now, q)
		if !found || !d.trusted[rec.ID] && d.freeOutbound() <= 0 {
			if d.freeOutbound() <= 0 {
				out, ok = d.dialBeyond(now)
			}
			return out, ok, false
		}
		s := slotTrusted
		if !d.trusted[rec.ID] {
			s = slotOutbound
		}
		if out, ok := d.begin(&rec, dial{slot: s}, now); ok {
			return out, true, false
		}
		rejected[rec.ID] = true
	}
	return Dial{}, false, true
}

// dialBeyond finds a peer to dial while all outbound slots are full.
func (d *dialer) dialBeyond(now time.Time) (Dial, bool) {
	for _, try := range []func(time.Time) (Dial, bool){d.upgrade, d.churn, d.feeler} {
		if out, ok := try(now); ok {
			return out, true
		}
	}
	return Dial{}, false
}

// nextDue returns when a dial becomes due that is not due at now, if nothing else happens before.
func (d *dialer) nextDue(now time.Time) (at time.Time, ok bool) {
	if d.inFlight() >= d.pace.window {
		return at, false
	}
	if at = d.pace.due(); at.After(now) {
		return at, true
	}
	at, ok = d.store.NextDue(now)
	sooner := func(t time.Time, can bool) {
		if can && (!ok || t.Before(at)) {
			at, ok = t, true
		}
	}
	for _, t := range d.pace.tried {
		sooner(t, t.After(now))
	}
	if len(d.lost.peers) > 0 {
		sooner(d.lostDue())
	}
	if len(d.moves.due) > 0 {
		_, due := d.firstMove()
		sooner(due, true)
	}
	if d.freeOutbound() <= 0 {
		sooner(d.upgradeDue(now))
		sooner(d.feelerDue(now))
		sooner(d.churnDue(now))
	}
	return at, ok
}

// inFlight returns how many dials are in flight.
func (d *dialer) inFlight() (n int) {
	for _, of := range d.dialing {
		n += of
	}
	return n
}

// query asks the store for peers that are neither linked, being dialed nor rejected, preferably of network groups that
// have room for another outbound link. The store calls its functions while mu is held.
func (d *dialer) query(rejected rejects, now time.Time) peerstore.Query {
	q := peerstore.Query{
		Skip: func(id transport.NodeID) bool {
			return rejected[id] || d.peers[id] != nil || len(d.pace.tried) > 0 && d.pace.skips(id, now)
		},
		Links: d.linked[slotOutbound],
	}
	if d.freeOutbound() <= 0 && !d.mayChurn() || d.cfg.OutboundPerGroup > len(d.peers) { // no group can be full
		return q
	}
	var groups map[peerstore.Group]int
	q.Avoid = func(g peerstore.Group) bool {
		if groups == nil {
			groups = d.outboundGroups()
		}
		return groups[g] >= d.cfg.OutboundPerGroup
	}
	return q
}

// begin begins a dial of a peer that is neither linked nor being dialed, if one of its addresses can be dialed now. If
// not, the peer backs off.
func (d *dialer) begin(rec *peerstore.Record, how dial, now time.Time) (Dial, bool) {
	if rec.ID == d.self {
		d.store.Remove(rec.ID)
		return Dial{}, false
	}
	if _, banned := d.store.Banned(rec.ID, netip.Addr{}, now); banned {
		until := now.Add(d.backoff(rec, blockedBackoff, now))
		d.store.Update(rec.ID, func(rec *peerstore.Record) { rec.NotBefore = later(rec.NotBefore, until) })
		return Dial{}, false
	}
	if !isDue(rec, now) {
		return Dial{}, false
	}
	addrs := d.sortAddresses(rec, now)
	if len(addrs.blocked) > 0 {
		d.postpone(rec.ID, addrs.blocked, now.Add(d.backoff(rec, blockedBackoff, now)))
	}
	if len(addrs.alien) > 0 { // others may be able to dial them, so they stay
		d.postpone(rec.ID, addrs.alien, now.Add(d.cfg.MaxBackoff))
	}
	if len(addrs.due) == 0 {
		return Dial{}, false
	}
	how.first = addrs.due[0]
	d.pace.begin(now)
	d.startDial(rec.ID, how)
	return Dial{ID: rec.ID, Addresses: addrs.due, Sources: addrs.sources, Upgrade: how.slot == slotUpgrade,
		Feeler: how.slot == slotFeeler}, true
}

// isDue reports whether the peer as a whole may be dialed.
func isDue(rec *peerstore.Record, now time.Time) bool {
	return !rec.NotBefore.After(now) && !rec.Quarantined.After(now)
}

// postpone lets addresses of a peer back off.
func (d *dialer) postpone(id transport.NodeID, addrs []transport.Address, until time.Time) {
	d.store.Update(id, func(rec *peerstore.Record) {
		for _, addr := range addrs {
			if a := addressOf(rec, addr); a != nil {
				a.NotBefore = later(a.NotBefore, until)
			}
		}
	})
}

// addresses are those of a peer that have no backoff now.
type addresses struct {
	due     []transport.Address // best first
	sources []string            // of those
	blocked []transport.Address // forbidden for now
	alien   []transport.Address // our stack cannot dial them
}

// sortAddresses sorts out a peer's addresses.
func (d *dialer) sortAddresses(rec *peerstore.Record, now time.Time) (out addresses) {
	var due []*peerstore.AddressRecord
	for i := range rec.Addresses {
		a := &rec.Addresses[i]
		if a.NotBefore.After(now) {
			continue
		}
		if _, can := d.cfg.Rank(a.Address); !can {
			out.alien = append(out.alien, a.Address)
		} else if d.blocked(rec.ID, a.Address, now) {
			out.blocked = append(out.blocked, a.Address)
		} else {
			due = append(due, a)
		}
	}
	slices.SortStableFunc(due, func(a, b *peerstore.AddressRecord) int {
		untested := func(a *peerstore.AddressRecord) int {
			if a.LastSuccess.IsZero() {
				return 1
			}
			return 0
		}
		ra, _ := d.cfg.Rank(a.Address)
		rb, _ := d.cfg.Rank(b.Address)
		return cmp.Or(cmp.Compare(untested(a), untested(b)), cmp.Compare(a.Failures, b.Failures), cmp.Compare(ra, rb),
			b.LastSuccess.Compare(a.LastSuccess), b.LastHeard.Compare(a.LastHeard))
	})
	for _, a := range due {
		out.due, out.sources = append(out.due, a.Address), append(out.sources, a.Source.Kind)
	}
	return out
}

// blocked reports whether an address must not be dialed for now: it is banned, at a limit, or our own.
func (d *dialer) blocked(id transport.NodeID, addr transport.Address, now time.Time) bool {
	if d.selves.has(addr) {
		return true
	}
	ip, ok := addr.IP()
	if !ok {
		return false
	}
	if _, banned := d.store.Banned("", ip, now); banned {
		return true
	}
	return !d.exempt(id) && d.checkIP(ip) != nil
}

// addressOf returns what a record holds of an address; nil if it does not have it.
func addressOf(rec *peerstore.Record, addr transport.Address) *peerstore.AddressRecord {
	if addr.IsZero() {
		return nil
	}
	for i := range rec.Addresses {
		if rec.Addresses[i].Address == addr {
			return &rec.Addresses[i]
		}
	}
	return nil
}

// maxSelves bounds selves.
const maxSelves = 64

// selves are addresses that turned out to lead to ourselves, the latest maxSelves.
type selves struct{ addrs []transport.Address }

// has reports whether an address leads to ourselves, whatever id it names.
func (s *selves) has(addr transport.Address) bool {
	if len(s.addrs) == 0 {
		return false
	}
	where := addr.Multiaddr()
	return slices.ContainsFunc(s.addrs, func(a transport.Address) bool {
		return a == addr || a.Multiaddr().Equal(where)
	})
}

func (s *selves) add(addr transport.Address) {
	if addr.IsZero() || s.has(addr) {
		return
	}
	if len(s.addrs) == maxSelves {
		s.addrs = slices.Delete(s.addrs, 0, 1)
	}
	s.addrs = append(s.addrs, addr)
}
