package book

import (
	"math"
	"slices"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// read copies e into r and reuses r's addresses.
func (e *entry) read(r *peerstore.Record) {
	d := e.details
	*r = peerstore.Record{
		ID: e.id(), Addresses: slices.Grow(r.Addresses[:0], len(e.addresses)), FirstSeen: TimeOf(e.firstSeen),
		Trusted: e.is(trusted), Unconditional: e.is(unconditional), Private: e.is(private),
		Score: int16(e.score), Scored: TimeOf(d.scored), Height: d.height,
		LastConnected: TimeOf(d.lastConnected), LastDisconnected: TimeOf(d.lastDisconnected),
		Failures: uint32(e.failures), NotBefore: TimeOf(e.notBefore),
		Quarantined: TimeOf(d.quarantined), QuarantineReason: d.reason,
		Busy: e.is(busy), InTried: e.table == peerstore.Tried,
	}
	for i := range e.addresses {
		a := &e.addresses[i]
		r.Addresses = append(r.Addresses, peerstore.AddressRecord{
			Address: e.where(a), Source: a.source.Source,
			FirstHeard: TimeOf(a.firstHeard), LastHeard: TimeOf(a.lastHeard),
			LastDialed: TimeOf(a.lastDialed), LastSuccess: TimeOf(a.lastWorked),
			Failures: a.failures, NotBefore: TimeOf(a.notBefore), LastError: a.lastError,
		})
	}
}

// change says what a write changed.
type change struct {
	any    bool // something that is to be persisted: all but one more failure like the deadAfter ones before it
	moved  bool // the address or source that the bucket follows from may have changed
	worked bool // an address has worked since
}

// write copies r into e within the bounds: addresses of other nodes and repeated ones are left out, the least useful
// beyond MaxAddresses go, texts are cut, the score saturates. The id stays.
func (c *catalog) write(e *entry, r *peerstore.Record) (ch change) {
	was, last := *e, e.lastWorked()
	e.firstSeen, e.notBefore = Nano(r.FirstSeen), Nano(r.NotBefore)
	e.failures = uint16(min(r.Failures, math.MaxUint16))
	e.score = int8(min(max(r.Score, peerstore.MinScore), peerstore.MaxScore))
	e.set(trusted, r.Trusted)
	e.set(unconditional, r.Unconditional)
	e.set(private, r.Private)
	e.set(busy, r.Busy)
	again := was.failures >= deadAfter && e.failures > was.failures
	ch.any = e.firstSeen != was.firstSeen || !again && (e.notBefore != was.notBefore || e.failures != was.failures) ||
		e.score != was.score || (e.flags^was.flags)&operator != 0
	d := *e.details
	d.scored, d.height, d.quarantined = Nano(r.Scored), r.Height, Nano(r.Quarantined)
	d.lastConnected, d.lastDisconnected = Nano(r.LastConnected), Nano(r.LastDisconnected)
	if d.reason != r.QuarantineReason {
		d.reason = cut(r.QuarantineReason, peerstore.MaxReason)
	}
	if d != *e.details {
		ch.any = true
		if e.details = &noDetails; d != noDetails {
			e.details = new(details)
			*e.details = d
		}
	}
	// the same places in the same order
	same := len(r.Addresses) == len(e.addresses) && len(e.addresses) <= c.limits.MaxAddresses
	for i := 0; same && i < len(e.addresses); i++ {
		same = e.where(&e.addresses[i]) == r.Addresses[i].Address
	}
	if same {
		c.sources.writeAddresses(&ch, e, r)
	} else {
		c.sources.replaceAddresses(e, r, c.limits.MaxAddresses)
		ch.any, ch.moved = true, true
	}
	ch.worked = e.lastWorked() > last
	return ch
}

// writeAddresses copies all but the places of e's addresses.
func (s *sources) writeAddresses(ch *change, e *entry, r *peerstore.Record) {
	for i := range r.Addresses {
		a, rec := &e.addresses[i], &r.Addresses[i]
		ch.any = a.write(rec) || ch.any
		if a.source.Source == rec.Source {
			continue
		}
		src := s.hold(rec.Source)
		if src != a.source {
			a.count(false)
			ch.any, ch.moved = true, ch.moved || i == 0
		}
		s.release(a.source)
		a.source = src
	}
}

// write copies what rec says of a, but for its source, and reports whether that is to be persisted.
func (a *address) write(rec *peerstore.AddressRecord) (changed bool) {
	was := *a
	a.firstHeard, a.lastHeard = Nano(rec.FirstHeard), Nano(rec.LastHeard)
	a.lastDialed, a.lastWorked = Nano(rec.LastDialed), Nano(rec.LastSuccess)
	a.failures, a.notBefore = rec.Failures, Nano(rec.NotBefore)
	if a.lastError != rec.LastError {
		a.lastError = cut(rec.LastError, peerstore.MaxReason)
	}
	if was.failures >= deadAfter && a.failures > was.failures {
		was.failures, was.lastDialed, was.notBefore = a.failures, a.lastDialed, a.notBefore
	}
	return *a != was
}

// replaceAddresses gives e the addresses of r, within the bounds.
func (s *sources) replaceAddresses(e *entry, r *peerstore.Record, most int) {
	var list []address
	for i := range r.Addresses {
		rec := &r.Addresses[i]
		same := func(a address) bool { return a.is(&rec.Address) }
		if rec.Address.IsZero() || !rec.Address.Is(r.ID) || slices.ContainsFunc(list, same) {
			continue
		}
		a := newAddress(&rec.Address)
		a.write(rec)
		a.source = s.hold(rec.Source)
		list, _ = s.fit(list, a, most)
	}
	s.dropAll(e)
	e.addresses = list
}
