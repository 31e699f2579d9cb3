package peerstore

import (
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// read copies e, whose id is known, into r, reusing r's addresses. It sets fields one by one: a whole record is copied twice otherwise.
func (b *Book) read(e *entry, id transport.NodeID, r *Record) {
	n := 0
	for k := b.firstOf(e); k != nil; k = b.nextOf(k) {
		n++
	}
	if cap(r.Addresses) < n {
		r.Addresses = make([]AddressRecord, n)
	}
	r.Addresses = r.Addresses[:n]
	k := b.firstOf(e)
	for i := range r.Addresses {
		b.readKnown(e, k, &r.Addresses[i])
		k = b.nextOf(k)
	}
	r.ID = id
	r.FirstSeen, r.NotBefore = stamp(e.firstSeen), stamp(e.notBefore)
	r.Trusted, r.Unconditional, r.Private = e.is(trusted), e.is(unconditional), e.is(private)
	r.Score, r.Failures = int16(e.score), e.failures
	r.Busy, r.InTried = e.is(busy), e.table == Tried
	x := b.extraOf(e)
	r.Scored, r.Height = stamp(x.scored), x.height
	r.LastConnected, r.LastDisconnected = stamp(x.lastConnected), stamp(x.lastDisconnected)
	r.Quarantined, r.QuarantineReason = stamp(x.quarantined), b.texts.get(x.why)
}

func (b *Book) readKnown(e *entry, k *known, a *AddressRecord) {
	b.readAddress(e, k, &a.Address)
	a.Source = b.sources.at(k.source).Source
	a.FirstHeard, a.LastHeard = stamp(k.firstHeard), stamp(k.lastHeard)
	a.LastDialed, a.LastSuccess = stamp(k.lastDialed), stamp(k.lastWorked)
	a.Failures, a.NotBefore, a.LastError = k.failures, stamp(k.notBefore), b.texts.get(k.lastError)
}

// idOf is the node id of e.
func (b *Book) idOf(slot uint32, e *entry) transport.NodeID {
	if e.is(named) {
		return b.names[slot]
	}
	return transport.NodeIDFromBytes(e.key)
}

// write copies r into e within the bounds: addresses of other nodes and repeated ones are left out, the least useful beyond
// MaxAddresses go, texts are cut, the score saturates. The id stays.
func (b *Book) write(e *entry, r *Record) {
	e.firstSeen, e.notBefore, e.failures = nano(r.FirstSeen), nano(r.NotBefore), r.Failures
	e.setFlag(trusted, r.Trusted)
	e.setFlag(unconditional, r.Unconditional)
	e.setFlag(private, r.Private)
	e.setFlag(busy, r.Busy)
	e.score = int8(min(max(r.Score, MinScore), MaxScore))
	b.writeExtra(e, r)
	last := b.lastWorked(e)
	if b.sameAddresses(e, r.Addresses) {
		i := 0
		for k := b.firstOf(e); k != nil; k = b.nextOf(k) {
			if b.writeKnown(k, &r.Addresses[i]) && i == 0 {
				e.flags |= moved
			}
			i++
		}
	} else {
		b.writeAddresses(e, r)
		b.describe(e)
		e.flags |= moved
	}
	if b.lastWorked(e) > last {
		e.flags |= worked
	}
}

// sameAddresses says that a list leads to the same places in the same order as e's.
func (b *Book) sameAddresses(e *entry, now []AddressRecord) bool {
	k := b.firstOf(e)
	for i := range now {
		if k == nil || now[i].Address != b.address(e, k) {
			return false
		}
		k = b.nextOf(k)
	}
	return k == nil
}

// writeKnown takes over what may change of an address. It says whether who told of it did.
func (b *Book) writeKnown(k *known, a *AddressRecord) (told bool) {
	k.firstHeard, k.lastHeard = nano(a.FirstHeard), nano(a.LastHeard)
	k.lastDialed, k.lastWorked = nano(a.LastDialed), nano(a.LastSuccess)
	k.failures, k.notBefore = a.Failures, nano(a.NotBefore)
	if a.LastError != b.texts.get(k.lastError) {
		text := b.texts.hold(a.LastError)
		b.texts.release(k.lastError)
		k.lastError = text
	}
	if told = a.Source != b.sources.at(k.source).Source; told {
		from := b.sources.hold(&a.Source, b.limits.Groups)
		b.sources.release(k.source)
		k.source = from
	}
	return told
}

// writeAddresses makes e's addresses anew.
func (b *Book) writeAddresses(e *entry, r *Record) {
	type kept struct {
		known
		at int // in r.Addresses
	}
	id := r.ID
	var list []kept
	for i := range r.Addresses {
		a := &r.Addresses[i]
		if a.Address.IsZero() || !a.Address.Is(id) {
			continue
		}
		twice := false
		for _, o := range list {
			twice = twice || r.Addresses[o.at].Address == a.Address
		}
		if twice {
			continue
		}
		k := kept{known{lastWorked: nano(a.LastSuccess), failures: a.Failures, lastHeard: nano(a.LastHeard)}, i}
		if len(list) < b.limits.MaxAddresses {
			list = append(list, k)
			continue
		}
		w := 0
		for j := range list {
			if list[w].better(&list[j].known) {
				w = j
			}
		}
		if k.better(&list[w].known) {
			list[w] = k
		}
	}
	fresh := make([]known, 0, len(list))
	for _, o := range list { // first what is kept, so that what both share is not given up in between
		a := &r.Addresses[o.at]
		k := known{source: b.sources.hold(&a.Source, b.limits.Groups), lastError: b.texts.hold(a.LastError)}
		k.firstHeard, k.lastHeard = nano(a.FirstHeard), nano(a.LastHeard)
		k.lastDialed, k.lastWorked = nano(a.LastDialed), nano(a.LastSuccess)
		k.failures, k.notBefore = a.Failures, nano(a.NotBefore)
		b.setAddress(&k, &a.Address)
		fresh = append(fresh, k)
	}
	b.dropAddresses(e)
	for _, k := range fresh {
		b.addAddress(e, k)
	}
}

func (b *Book) writeExtra(e *entry, r *Record) {
	x := extra{
		scored: nano(r.Scored), height: r.Height,
		lastConnected: nano(r.LastConnected), lastDisconnected: nano(r.LastDisconnected), quarantined: nano(r.Quarantined),
	}
	if x == (extra{}) && r.QuarantineReason == "" {
		b.dropExtra(e)
		return
	}
	if e.extra == 0 {
		e.extra = b.extras.take() + 1
	}
	old := b.extras.at(e.extra - 1)
	if x.why = old.why; b.texts.get(old.why) != r.QuarantineReason {
		x.why = b.texts.hold(r.QuarantineReason)
		b.texts.release(old.why)
	}
	*old = x
}

func (b *Book) dropExtra(e *entry) {
	if e.extra != 0 {
		b.texts.release(b.extras.at(e.extra - 1).why)
		b.extras.give(e.extra - 1)
		e.extra = 0
	}
}

// Update changes a known peer: see Store.
func (b *Book) Update(id transport.NodeID, fn func(*Record)) bool {
	known, _ := b.Change(id, fn)
	return known
}

// Change is Update that also says whether a flag that has to be persisted at once (Trusted, Unconditional, Private) changed.
func (b *Book) Change(id transport.NodeID, fn func(*Record)) (known, flags bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	slot, e := b.find(id)
	if e == nil {
		return false, false
	}
	return true, b.change(slot, e, id, fn)
}

// change lets fn change a copy of the entry, and takes the copy over.
func (b *Book) change(slot uint32, e *entry, id transport.NodeID, fn func(*Record)) (special bool) {
	r := &b.scratch
	r.Addresses = b.addrs
	b.read(e, id, r)
	b.addrs = r.Addresses
	was, wasExtra := *e, b.extraOf(e)
	fn(r)
	r.ID = id
	special = e.is(trusted) != r.Trusted || e.is(unconditional) != r.Unconditional || e.is(private) != r.Private
	b.write(e, r)
	r.Addresses = nil // which may not be b.addrs any more
	b.reindex(slot, e)
	if e.is(contested) {
		b.judge()
	}
	if !e.is(stored) || e.differs(&was) || b.extraOf(e) != wasExtra { // Busy alone need not be written
		b.journal.peer(slot, e)
	}
	b.prune()
	return special
}

// Ensure is Update that inserts an unknown peer first: see Store.
func (b *Book) Ensure(id transport.NodeID, now time.Time, fn func(*Record)) {
	b.EnsureChange(id, now, fn)
}

// EnsureChange is Ensure that also says whether a flag that has to be persisted at once changed.
func (b *Book) EnsureChange(id transport.NodeID, now time.Time, fn func(*Record)) (special bool) {
	if id == "" || len(id) > maxID {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now, fewMoves)
	slot, e := b.find(id)
	if e == nil {
		slot, e = b.insert(id)
		defer func() { // fn may panic, and no entry may stay out of the indexes
			if e.is(live) && e.set == noSet {
				b.reindex(slot, e)
			}
		}()
	}
	return b.change(slot, e, id, fn)
}
