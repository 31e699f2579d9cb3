package peers

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Role is what the operator makes of a peer.
type Role struct {
	Trusted       bool // always redialed; no limit refuses it, and only an explicit request evicts it
	Unconditional bool // no limit refuses it, and only an explicit request evicts it
	Private       bool // never advertised
}

// operator holds the peers that have a role: by the configuration, or by SetRole.
type operator struct {
	trusted, unconditional, private idSet
	set                             idSet // those of SetRole that the configuration does not name
}

type idSet map[transport.NodeID]bool

// put adds or removes an id.
func (s idSet) put(id transport.NodeID, in bool) {
	if s[id] = in; !in {
		delete(s, id)
	}
}

func newOperator(cfg *Config, self transport.NodeID) operator {
	o := operator{idSet{}, idSet{}, idSet{}, idSet{}}
	for _, a := range cfg.Persistent {
		o.trusted[a.ID()] = true
	}
	for _, id := range cfg.Unconditional {
		o.unconditional[id] = true
	}
	for _, id := range cfg.Private {
		o.private[id] = true
	}
	delete(o.trusted, self) // operators give one list to all their nodes
	return o
}

// roleOf returns the role of a peer.
func (o *operator) roleOf(id transport.NodeID) Role {
	return Role{Trusted: o.trusted[id], Unconditional: o.unconditional[id], Private: o.private[id]}
}

// setRole makes r the role of a peer.
func (o *operator) setRole(id transport.NodeID, r Role) {
	o.trusted.put(id, r.Trusted)
	o.unconditional.put(id, r.Unconditional)
	o.private.put(id, r.Private)
}

// exempt reports whether no limit refuses the peer and only an explicit request evicts it.
func (o *operator) exempt(id transport.NodeID) bool { return o.trusted[id] || o.unconditional[id] }

// SetRole changes the role of a peer. It lasts, over restarts, until it is changed again; but at a start the
// configuration decides on the peers that it names. A peer that becomes trusted is dialed at once, so one of its
// addresses must be known, or a link; Add learns an address. The links of a peer that is exempt from limits now give
// their slots back; a peer that is no longer exempt keeps its links.
func (m *Manager) SetRole(id transport.NodeID, r Role) error {
	if id == "" || id == m.self {
		return errors.New("set a role: that is our own node id, or none")
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[id]
	if rec, _ := m.store.Get(id); r.Trusted && len(rec.Addresses) == 0 && p == nil {
		return fmt.Errorf("trust %s: no address of it is known", id)
	}
	named := m.operator.roleOf(id) != Role{} && !m.set[id]
	if r != (Role{}) && !named && !m.set[id] && len(m.set) == maxRoles {
		return fmt.Errorf("set a role: %d peers have one already", maxRoles)
	}
	m.set.put(id, r != Role{} && !named)
	m.operator.setRole(id, r)
	m.saveRoles()
	write := func(rec *peerstore.Record) {
		if r.Trusted && !rec.Trusted {
			rec.NotBefore, rec.Quarantined = time.Time{}, time.Time{}
			for i := range rec.Addresses {
				rec.Addresses[i].NotBefore = time.Time{}
			}
		}
		rec.Trusted, rec.Unconditional, rec.Private = r.Trusted, r.Unconditional, r.Private
	}
	if r == (Role{}) {
		m.store.Update(id, write)
	} else {
		m.store.Ensure(id, now, write)
	}
	if p != nil && m.exempt(id) {
		m.giveBack(p)
	}
	m.evictor.fillSlots()
	m.dialWake.wake()
	return nil
}

// giveBack gives back the slots of a peer that is exempt from limits now.
func (t *table) giveBack(p *peer) {
	for _, l := range p.open() {
		if l.slot != slotNone {
			t.setSlot(l, slotTrusted)
		}
	}
	if d := p.dial; d != nil && d.slot != slotFeeler && d.slot != slotMove {
		t.dialing[d.slot]--
		d.slot = slotTrusted
		t.dialing[d.slot]++
	}
}

// maxRoles bounds the peers that SetRole has given a role.
const maxRoles = 1000

// lists returns the ids of each part of a role, by the name under which the store has those of SetRole.
func (o *operator) lists() map[string]idSet {
	return map[string]idSet{metaTrusted: o.trusted, metaUnconditional: o.unconditional, metaPrivate: o.private}
}

// recallRoles takes up what SetRole has said in earlier runs of peers that the configuration does not name.
func (t *table) recallRoles() {
	for key := range t.lists() {
		for _, id := range splitIDs(t.store.Meta(key)) {
			if t.roleOf(id) == (Role{}) && id != t.self {
				t.set[id] = true
			}
		}
	}
	for key, ids := range t.lists() {
		for _, id := range splitIDs(t.store.Meta(key)) {
			if t.set[id] {
				ids[id] = true
			}
		}
	}
}

// saveRoles writes what recallRoles reads.
func (t *table) saveRoles() {
	for key, ids := range t.lists() {
		own := slices.DeleteFunc(slices.Sorted(maps.Keys(ids)), func(id transport.NodeID) bool { return !t.set[id] })
		t.store.SetMeta(key, joinIDs(own))
	}
}

// configure brings the store's flags into line with the configuration. Trusted peers become due at once.
func (t *table) configure(now time.Time) {
	t.recallRoles()
	known := idSet{}
	for _, set := range []idSet{t.trusted, t.unconditional, t.private} {
		for id := range set {
			known[id] = true
		}
	}
	for _, id := range splitIDs(t.store.Meta(metaConfigured)) {
		if !known[id] {
			t.store.Update(id, func(rec *peerstore.Record) {
				rec.Trusted, rec.Unconditional, rec.Private = false, false, false
			})
		}
	}
	addresses := map[transport.NodeID][]transport.Address{}
	for _, a := range t.cfg.Persistent {
		addresses[a.ID()] = append(addresses[a.ID()], a)
	}
	ids := slices.Sorted(maps.Keys(known))
	for _, id := range ids {
		t.store.Ensure(id, now, func(rec *peerstore.Record) {
			rec.Trusted, rec.Unconditional, rec.Private = t.trusted[id], t.unconditional[id], t.private[id]
			if !rec.Trusted {
				return
			}
			// configured ones first, so that they stay if the store keeps only so many
			var addrs []peerstore.AddressRecord
			for _, a := range addresses[id] {
				addrs = append(addrs, configured(rec, a, now))
			}
			for _, a := range rec.Addresses {
				if !slices.Contains(addresses[id], a.Address) {
					addrs = append(addrs, a)
				}
			}
			rec.Addresses = addrs
			rec.NotBefore, rec.Quarantined = time.Time{}, time.Time{}
		})
	}
	t.store.SetMeta(metaConfigured, joinIDs(ids))
}

// configured returns the record of a configured address, due at once, with what is known of it already.
func configured(rec *peerstore.Record, a transport.Address, now time.Time) peerstore.AddressRecord {
	ar := peerstore.AddressRecord{Address: a, FirstHeard: now}
	if old := addressOf(rec, a); old != nil {
		ar = *old
	}
	ar.Source, ar.LastHeard, ar.NotBefore = peerstore.Source{Kind: peerstore.SourceConfig}, now, time.Time{}
	return ar
}

// Names of the values that a Manager keeps in the store.
const (
	// ids with configured flags, to take the flags back when the configuration changes
	metaConfigured = "host/configured"
	metaAnchors    = "host/anchors"  // anchors.saved
	metaGuests     = "host/guests"   // guests.named
	metaOffences   = "host/offences" // offences
	metaStack      = "host/stack"    // what SetStack was told

	// ids whose role is of SetRole
	metaTrusted       = "host/trusted"
	metaUnconditional = "host/unconditional"
	metaPrivate       = "host/private"
)

func splitIDs(b []byte) []transport.NodeID {
	var out []transport.NodeID
	for line := range strings.Lines(string(b)) {
		if id, err := transport.ParseNodeID(strings.TrimSpace(line)); err == nil {
			out = append(out, id)
		}
	}
	return out
}

// joinIDs writes one id a line, as many as a value in the store may hold.
func joinIDs(ids []transport.NodeID) []byte {
	const most = 60 << 10 // bytes; peerstore.Store.SetMeta takes 64 KiB
	var b []byte
	for _, id := range ids {
		if len(b)+len(id)+1 > most {
			break
		}
		b = append(append(b, id...), '\n')
	}
	return b
}
