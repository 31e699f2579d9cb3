package peerstore

import (
	"maps"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// A journal lists what has changed since it was last taken: names, not values, so it is bounded by the size of the book. It is off
// (nil maps, nothing listed) in a book that is not persisted. The book's mutex guards it.
type journal struct {
	on    bool
	peers []uint32                      // slots of changed entries, each once (entry.changed); one that was removed since is left out on taking
	gone  map[transport.NodeID]struct{} // removed, unless known again on taking
	bans  map[Target]struct{}
	meta  map[string]struct{}

	some, many chan struct{} // see Book.Changed
}

// manyChanges is how many changed peers ask to be written at once, not at the end of the interval.
const manyChanges = 8192

func (j *journal) peer(slot uint32, e *entry) {
	if !j.on || e.is(changed) {
		return
	}
	e.flags |= changed
	j.peers = append(j.peers, slot)
	wake(j.some)
	if len(j.peers) >= manyChanges {
		wake(j.many)
	}
}

func (j *journal) removed(slot uint32, e *entry, b *Book) {
	if j.on && e.is(stored) {
		j.gone[b.idOf(slot, e)] = struct{}{}
		wake(j.some)
	}
}

func (j *journal) ban(t Target) {
	if j.on {
		j.bans[t] = struct{}{}
		wake(j.some)
	}
}

func (j *journal) value(key string) {
	if j.on {
		j.meta[key] = struct{}{}
		wake(j.some)
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Changes are what a persistent store has to write: the values as they were when the changes were taken.
type Changes struct {
	Peers  []Record
	Gone   []transport.NodeID
	Bans   []Ban
	Lifted []Target
	Meta   map[string][]byte // nil: the key was removed

	// Stored and Banned are how many peers and bans are persisted once this is written.
	Stored, Banned int
}

// Empty says that there is nothing to write.
func (c *Changes) Empty() bool {
	return len(c.Peers) == 0 && len(c.Gone) == 0 && len(c.Bans) == 0 && len(c.Lifted) == 0 && len(c.Meta) == 0
}

// Track makes the book list its changes from now on. Call it once, before anything else.
func (b *Book) Track() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.journal = journal{
		on:   true,
		gone: make(map[transport.NodeID]struct{}),
		bans: make(map[Target]struct{}),
		meta: make(map[string]struct{}),
		some: make(chan struct{}, 1),
		many: make(chan struct{}, 1),
	}
	b.journal.value(metaKey) // unless one is restored
}

// Changed returns two channels that wake the writer of a tracked book: some when there is something to write, many when there is so much
// that it should not wait for more. A wake-up may be spurious, but none is lost.
func (b *Book) Changed() (some, many <-chan struct{}) { return b.journal.some, b.journal.many }

// TakeChanges moves up to limit changed peers, and all other changes, from the journal to the caller, who writes them or gives them back with
// GiveBack. more says that further changed peers are listed. Only one caller at a time may write what it took, or an older value could be
// written over a newer one.
func (b *Book) TakeChanges(limit int) (c Changes, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := &b.journal
	n := 0
	for ; n < len(j.peers) && len(c.Peers) < limit; n++ {
		if e := b.at(j.peers[n]); e.is(live) && e.is(changed) {
			e.flags &^= changed
			b.store(e)
			var r Record
			b.read(j.peers[n], e, &r)
			c.Peers = append(c.Peers, r)
		}
	}
	j.peers = j.peers[n:]
	if len(j.peers) == 0 {
		j.peers = nil
	}
	for id := range j.gone {
		if _, e := b.find(id); e == nil {
			c.Gone = append(c.Gone, id)
		} else { // known again, before its removal was written
			b.store(e)
		}
	}
	for t := range j.bans {
		if ban, ok := b.bans.get(t); ok {
			c.Bans = append(c.Bans, ban)
		} else {
			c.Lifted = append(c.Lifted, t)
		}
	}
	for key := range j.meta {
		if c.Meta == nil {
			c.Meta = make(map[string][]byte)
		}
		c.Meta[key] = b.meta[key]
	}
	c.Stored, c.Banned = b.stored, b.bans.len()
	empty(&j.gone)
	empty(&j.bans)
	empty(&j.meta)
	return c, len(j.peers) > 0
}

// store notes that e is persisted.
func (b *Book) store(e *entry) {
	if !e.is(stored) {
		e.flags |= stored
		b.stored++
	}
}

// empty empties a set, and lets its memory go when it was large.
func empty[K comparable](set *map[K]struct{}) {
	if len(*set) > manyChanges {
		*set = make(map[K]struct{})
		return
	}
	clear(*set)
}

// GiveBack lists changes again that could not be written.
func (b *Book) GiveBack(c Changes) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range c.Peers {
		if slot, e := b.find(c.Peers[i].ID); e != nil {
			b.journal.peer(slot, e)
		}
	}
	for _, id := range c.Gone {
		if b.journal.on {
			b.journal.gone[id] = struct{}{}
			wake(b.journal.some)
		}
	}
	for i := range c.Bans {
		b.journal.ban(c.Bans[i].Target)
	}
	for _, t := range c.Lifted {
		b.journal.ban(t)
	}
	for key := range maps.Keys(c.Meta) {
		b.journal.value(key)
	}
}

// Rewrite lists all that the book holds as changed: for a new place to persist it.
func (b *Book) Rewrite() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stored = 0
	for slot := range b.entries.next {
		if e := b.at(slot); e.is(live) {
			e.flags &^= stored
			b.journal.peer(slot, e)
		}
	}
	for id := range b.bans.ids {
		b.journal.ban(Target{ID: id})
	}
	for p := range b.bans.nets {
		b.journal.ban(Target{Prefix: p})
	}
	for key := range b.meta {
		b.journal.value(key)
	}
}

// RestorePeer puts a record that was persisted into the book as it was, within the limits. A record that is not valid, that has expired at now or that a limit
// refuses is left out (and listed as gone): false. The book must not be in use yet, but for other Restore calls.
func (b *Book) RestorePeer(r *Record, now time.Time) bool {
	if r.ID == "" || len(r.ID) > maxID {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = nano(now)
	if slot, e := b.find(r.ID); e != nil {
		b.remove(slot, e)
	}
	slot, e := b.insert(r.ID)
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
	_, e = b.find(r.ID)
	return e != nil
}

// resume places e where it was. It does so without a contest, and nobody else has to go for it.
func (b *Book) resume(slot uint32, e *entry, wasTried bool) bool {
	if e.is(kept) || e.first.source == 0 || e.cell != 0 {
		return true
	}
	return wasTried && b.lastWorked(e) != 0 && b.enter(slot, e, Tried) || b.enterNew(slot, e, false)
}

// RestoreBan puts a ban that was persisted into the book; false when it has ended, is not valid or is one too many.
func (b *Book) RestoreBan(ban Ban, now time.Time) bool {
	t, err := ban.Target.normal()
	if err != nil || ban.end() <= nano(now) {
		return false
	}
	ban.Target, ban.Reason = t, cut(ban.Reason, maxBanReason)
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err = b.ban(ban)
	return err == nil
}

// RestoreMeta puts a small named value that was persisted into the book; false when it is not valid or one too many.
func (b *Book) RestoreMeta(key string, value []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if key == "" || len(key) > MaxMetaKey || len(value) > MaxMetaValue || len(b.meta) >= MaxMetaValues {
		return false
	}
	if key == metaKey {
		if !b.useKey(value) {
			return false
		}
		delete(b.journal.meta, key)
	}
	b.meta[key] = append([]byte{}, value...)
	return true
}
