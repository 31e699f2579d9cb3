package peerstore

import "time"

// RestorePeers puts records that were persisted into the book as they were, within the limits. A record that is not valid, that has expired at now or that a limit
// refuses is left out (and listed as gone). The book must not be in use yet, but for other Restore calls. It keeps nothing of the records' memory but texts.
func (b *Book) RestorePeers(rs []Record, now time.Time) {
	all := make([]arrival, len(rs))
	for i := range rs {
		all[i] = b.arrivalOf(&rs[i])
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = nano(now)
	for i := range rs {
		if i+farAhead < len(rs) {
			b.prefetchIndexes(&all[i+farAhead])
		}
		if i+ahead < len(rs) {
			b.prefetchFound(&all[i+ahead])
		}
		if n := len(rs[i].ID); 0 < n && n <= maxID {
			b.restore(&rs[i], &all[i])
		}
	}
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

func (b *Book) arrivalOf(r *Record) arrival {
	a := arrival{key: keyOf(r.ID)}
	a.hash = b.ids.hash(&a.key)
	if len(r.Addresses) > 0 {
		first := &r.Addresses[0]
		a.crowds = &b.crowds[routableNew]
		if r.InTried {
			a.crowds = &b.crowds[routableTried]
		}
		a.group, a.source = b.limits.Groups.Of(first.Address), b.sources.tag(&first.Source)
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

func (b *Book) restore(r *Record, a *arrival) {
	if slot, e := b.findHashed(&a.key, a.hash); e != nil {
		b.remove(slot, e)
	}
	slot, e := b.insertKey(&a.key, a.hash, r.ID)
	r.Busy = false
	b.write(e, r, nil)
	b.store(e)
	e.flags &^= worked | moved
	if !b.expired(e) && b.resume(slot, e, r.InTried) {
		b.reindex(slot, e)
		b.prune()
	} else {
		b.remove(slot, e)
	}
}

// resume places e where it was. It does so without a contest, and nobody else has to go for it.
func (b *Book) resume(slot uint32, e *entry, wasTried bool) bool {
	if e.is(kept) || e.first.source == 0 || e.cell != 0 {
		return true
	}
	return wasTried && b.lastWorked(e) != 0 && b.enter(slot, e, Tried) || b.enterNew(slot, e, false)
}
