package peerstore

import (
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// A Restorer puts peers that were persisted into a book as they were, within the limits. Of several records of one peer the first that it is given holds, so the newest
// come first. The book must not be in use yet, but for other Restore calls. It keeps nothing of the records' memory but texts.
type Restorer struct {
	b   *Book
	now time.Time
}

// Restorer begins to restore peers, at now.
func (b *Book) Restorer(now time.Time) *Restorer {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = make(map[nodeKey]struct{})
	return &Restorer{b, now}
}

// End says that no more comes.
func (r *Restorer) End() {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	r.b.over = nil
}

// Arrivals are records of different peers on their way into the book. Their memory may be used again.
type Arrivals struct {
	Peers []Saved
	First []bool // which of them were the first of their peers
	all   []arrival
}

// Next is one more of Peers, to be set; its Addresses may have memory.
func (a *Arrivals) Next() *Saved { return next(&a.Peers) }

// Prepare works out what Restore needs to know of records, without making anybody wait.
func (r *Restorer) Prepare(a *Arrivals) {
	a.all = a.all[:0]
	for i := range a.Peers {
		a.all = append(a.all, r.b.arrivalOf(&a.Peers[i]))
	}
}

// Restore puts prepared records into the book. One that is not valid, that has expired or that a limit refuses is left out (and listed as gone).
func (r *Restorer) Restore(a *Arrivals) {
	a.First = a.First[:0]
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = nano(r.now)
	for i := range a.Peers {
		if i+farAhead < len(a.Peers) {
			b.prefetchIndexes(&a.all[i+farAhead])
		}
		if i+ahead < len(a.Peers) {
			b.prefetchFound(&a.all[i+ahead])
		}
		first := !b.isOver(&a.all[i].key, a.all[i].hash)
		a.First = append(a.First, first)
		if n := len(a.Peers[i].Name); first && n <= maxID {
			b.restore(&a.Peers[i], &a.all[i])
		}
	}
}

// Gone says that no record of a peer holds that comes from now on.
func (r *Restorer) Gone(id transport.NodeID) {
	k := keyOf(id)
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	if !r.b.isOver(&k, r.b.ids.hash(&k)) {
		r.b.over[k] = struct{}{}
	}
}

// Known appends to known which of the nodes that hex ids spell need not be restored any more: a newer record of them was.
func (r *Restorer) Known(nodes [][transport.NodeIDSize]byte, known []bool) []bool {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range nodes {
		if i+farAhead < len(nodes) {
			b.ids.prefetch(b.ids.hash(&nodeKey{raw: nodes[i+farAhead]}))
		}
		k := nodeKey{raw: nodes[i]}
		known = append(known, b.isOver(&k, b.ids.hash(&k)))
	}
	return known
}

// isOver says that no record of a peer holds that is restored now.
func (b *Book) isOver(k *nodeKey, hash uint64) bool {
	if _, e := b.findHashed(k, hash); e != nil {
		return true
	}
	if len(b.over) == 0 {
		return false
	}
	_, over := b.over[*k]
	return over
}

// arrival is where restore will look for what it needs for a record: it is worked out without the lock, and loaded while it is at those before.
type arrival struct {
	key    nodeKey
	hash   uint64
	crowds *crowds // nil: it has no address
	group  Group
	source uint32 // its tag
}

// How many records ahead the indexes are loaded, and then what they lead to.
const (
	ahead    = 4
	farAhead = 8
)

func (b *Book) arrivalOf(s *Saved) arrival {
	a := arrival{key: nodeKey{raw: s.Node}}
	if s.Name != "" {
		a.key = keyOf(s.Name)
	}
	a.hash = b.ids.hash(&a.key)
	if len(s.Addresses) > 0 {
		first := &s.Addresses[0]
		a.crowds = &b.crowds[routableNew]
		if s.InTried {
			a.crowds = &b.crowds[routableTried]
		}
		a.source = b.sources.tag(&first.Source)
		if first.Other.IsZero() {
			a.group = b.limits.Groups.ofIP(netip.AddrFrom16(first.Packed.IP), int(first.Packed.Port))
		} else {
			a.group = b.limits.Groups.Of(first.Other)
		}
	}
	return a
}

func (b *Book) prefetchIndexes(a *arrival) {
	b.ids.prefetch(a.hash)
	if a.crowds != nil {
		a.crowds.at.prefetch(a.crowds.tag(a.group))
		b.sources.index.prefetch(a.source)
	}
}

func (b *Book) prefetchFound(a *arrival) {
	if a.crowds != nil {
		a.crowds.prefetch(a.group)
		b.sources.prefetch(a.source)
	}
}

// restore puts a peer into the book, which does not have it, unless the book refuses it.
func (b *Book) restore(s *Saved, a *arrival) {
	slot, e := b.insertKey(&a.key, a.hash, s.Name)
	e.firstSeen, e.notBefore, e.failures = s.FirstSeen, s.NotBefore, s.Failures
	e.setFlag(trusted, s.Trusted)
	e.setFlag(unconditional, s.Unconditional)
	e.setFlag(private, s.Private)
	e.score = int8(min(max(s.Score, MinScore), MaxScore))
	x := extra{scored: s.Scored, height: s.Height, lastConnected: s.LastConnected, lastDisconnected: s.LastDisconnected, quarantined: s.Quarantined}
	if x != (extra{}) || s.QuarantineReason != "" {
		x.why = b.texts.hold(s.QuarantineReason)
		e.extra = b.extras.take() + 1
		*b.extras.at(e.extra - 1) = x
	}
	b.restoreAddresses(e, s)
	b.store(e)
	if !b.expired(e) && b.resume(slot, e, s.InTried) {
		b.reindex(slot, e)
		b.prune()
	} else {
		b.remove(slot, e)
	}
}

// restoreAddresses gives e, which has none, the addresses of s.
func (b *Book) restoreAddresses(e *entry, s *Saved) {
	if !s.orderly(b.limits.MaxAddresses) {
		r := s.Record()
		b.writeAddresses(e, &r)
	} else {
		for i := range s.Addresses {
			b.addAddress(e, b.restoreKnown(&s.Addresses[i]))
		}
	}
	b.describe(e)
}

func (b *Book) restoreKnown(a *SavedAddress) known {
	k := known{
		firstHeard: a.FirstHeard, lastHeard: a.LastHeard, lastDialed: a.LastDialed, lastWorked: a.LastSuccess, notBefore: a.NotBefore, failures: a.Failures,
		source: b.sources.hold(&a.Source, b.limits.Groups), lastError: b.texts.hold(a.LastError),
		ip: a.Packed.IP, port: a.Packed.Port,
	}
	if !a.Other.IsZero() {
		k.ip, k.port = [16]byte{}, 0
		k.other = b.others.take() + 1
		*b.others.at(k.other - 1) = a.Other
	}
	return k
}

// resume places e where it was. It does so without a contest, and nobody else has to go for it.
func (b *Book) resume(slot uint32, e *entry, wasTried bool) bool {
	if e.is(kept) || e.first.source == 0 || e.cell != 0 {
		return true
	}
	return wasTried && b.lastWorked(e) != 0 && b.enter(slot, e, Tried) || b.enterNew(slot, e, false)
}
