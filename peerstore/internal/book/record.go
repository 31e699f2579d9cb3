package book

import (
	"slices"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// read copies e into r and reuses r's addresses.
func (e *entry) read(r *peerstore.Record) {
	d := e.more()
	*r = peerstore.Record{
		ID: e.id(), Addresses: slices.Grow(r.Addresses[:0], len(e.addresses)), FirstSeen: TimeOf(e.firstSeen),
		Trusted: e.is(trusted), Unconditional: e.is(unconditional), Private: e.is(private),
		Score: int16(e.score), Scored: TimeOf(d.scored), Height: d.height,
		LastConnected: TimeOf(d.lastConnected), LastDisconnected: TimeOf(d.lastDisconnected),
		Failures: e.failures, NotBefore: TimeOf(e.notBefore),
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
	any    bool // something that is persisted
	moved  bool // the address or source that the bucket follows from may have changed
	worked bool // an address has worked since
}

// put sets a field and notes whether that changed it.
func put[T comparable](ch *change, field *T, v T) {
	if *field != v {
		*field, ch.any = v, true
	}
}

// write copies r into e within the bounds: addresses of other nodes and repeated ones are left out, the least useful
// beyond MaxAddresses go, texts are cut, the score saturates. The id stays.
func (c *catalog) write(e *entry, r *peerstore.Record) (ch change) {
	put(&ch, &e.firstSeen, Nano(r.FirstSeen))
	put(&ch, &e.notBefore, Nano(r.NotBefore))
	put(&ch, &e.failures, r.Failures)
	put(&ch, &e.score, int8(min(max(r.Score, peerstore.MinScore), peerstore.MaxScore)))
	was := e.flags
	e.set(trusted, r.Trusted)
	e.set(unconditional, r.Unconditional)
	e.set(private, r.Private)
	put(&ch, &was, e.flags)
	e.set(busy, r.Busy)
	e.writeDetails(&ch, r)
	last := e.lastWorked()
	if e.sameAddresses(r.Addresses) {
		c.sources.writeAddresses(&ch, e, r)
	} else {
		c.sources.replaceAddresses(e, r, c.limits.MaxAddresses)
		ch.any, ch.moved = true, true
	}
	ch.worked = e.lastWorked() > last
	return ch
}

func (e *entry) writeDetails(ch *change, r *peerstore.Record) {
	d := *e.more()
	put(ch, &d.scored, Nano(r.Scored))
	put(ch, &d.lastConnected, Nano(r.LastConnected))
	put(ch, &d.lastDisconnected, Nano(r.LastDisconnected))
	put(ch, &d.quarantined, Nano(r.Quarantined))
	put(ch, &d.height, r.Height)
	if d.reason != r.QuarantineReason {
		put(ch, &d.reason, cut(r.QuarantineReason, peerstore.MaxReason))
	}
	switch {
	case d == noDetails:
		e.details = nil
	case e.details == nil:
		e.details = &d
	default:
		*e.details = d
	}
}

// sameAddresses reports whether list leads to the same places in the same order as e.
func (e *entry) sameAddresses(list []peerstore.AddressRecord) bool {
	if len(list) != len(e.addresses) {
		return false
	}
	for i := range list {
		if e.where(&e.addresses[i]) != list[i].Address {
			return false
		}
	}
	return true
}

// writeAddresses copies all but the places of e's addresses.
func (s *sources) writeAddresses(ch *change, e *entry, r *peerstore.Record) {
	for i := range r.Addresses {
		a, rec := &e.addresses[i], &r.Addresses[i]
		a.write(ch, rec)
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

// write copies what rec says of a, but for its source.
func (a *address) write(ch *change, rec *peerstore.AddressRecord) {
	put(ch, &a.firstHeard, Nano(rec.FirstHeard))
	put(ch, &a.lastHeard, Nano(rec.LastHeard))
	put(ch, &a.lastDialed, Nano(rec.LastDialed))
	put(ch, &a.lastWorked, Nano(rec.LastSuccess))
	put(ch, &a.failures, rec.Failures)
	put(ch, &a.notBefore, Nano(rec.NotBefore))
	if a.lastError != rec.LastError {
		put(ch, &a.lastError, cut(rec.LastError, peerstore.MaxReason))
	}
}

// replaceAddresses gives e the addresses of r, most of them at most.
func (s *sources) replaceAddresses(e *entry, r *peerstore.Record, most int) {
	var list []address
	var from []*peerstore.Source
	var ch change
	for i := range r.Addresses {
		rec := &r.Addresses[i]
		same := func(a address) bool { return a.is(&rec.Address) }
		if rec.Address.IsZero() || !rec.Address.Is(r.ID) || slices.ContainsFunc(list, same) {
			continue
		}
		a := newAddress(&rec.Address)
		a.write(&ch, rec)
		if len(list) < most {
			list, from = append(list, a), append(from, &rec.Source)
		} else if w := worst(list); a.better(&list[w]) {
			list[w], from[w] = a, &rec.Source
		}
	}
	for i := range list { // before the old sources are released, as most are the same
		list[i].source = s.hold(*from[i])
	}
	s.dropAll(e)
	e.addresses = list
}
