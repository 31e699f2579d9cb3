package peerstore

import (
	"maps"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// A journal lists what has changed since it was last taken: names, not values, so it is bounded by the size of the book. It is off
// (nil maps, nothing listed) in a book that is not persisted. The book's mutex guards it.
type journal struct {
	on    bool
	peers slots                         // of changed entries, each once (entry.changed); one that was removed since is left out on taking
	gone  map[transport.NodeID]struct{} // removed, unless known again on taking
	bans  map[Target]struct{}
	meta  map[string]struct{}
	taken taken

	some, many chan struct{} // see Book.Changed
}

// taken names what was taken from the journal and is not written yet.
type taken struct {
	peers []uint32  // slots
	fresh []nodeKey // of these, those that were not persisted before
	gone  []transport.NodeID
	bans  []Target
	meta  []string
}

// manyChanges is how many changed peers ask to be written at once, not at the end of the interval.
const manyChanges = 8192

func (j *journal) peer(slot uint32, e *entry) {
	if !j.on || e.is(changed) {
		return
	}
	e.flags |= changed
	j.peers.add(slot)
	wake(j.some)
	if j.peers.n >= manyChanges {
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
	Peers  []Saved
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

// TakeChanges moves up to limit changed peers, and all other changes, from the journal to c, whose memory it uses again. more says that further changed peers are listed.
// Only one caller at a time may write what it took, or an older value could be written over a newer one. It takes as often as it likes, and then calls Written,
// or GiveBack with all that it took.
func (b *Book) TakeChanges(limit int, c *Changes) (more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.reset()
	j := &b.journal
	for j.peers.n > 0 && len(c.Peers) < limit {
		before := len(j.taken.peers)
		j.taken.peers = j.peers.take(limit-len(c.Peers), j.taken.peers)
		list := j.taken.peers[before:]
		j.taken.peers = j.taken.peers[:before]
		for n, slot := range list {
			if n+farAhead < len(list) {
				b.at(list[n+farAhead]).prefetch()
			}
			if n+ahead < len(list) {
				b.prefetchSource(b.at(list[n+ahead]))
			}
			e := b.at(slot)
			if !e.is(live) || !e.is(changed) {
				continue
			}
			e.flags &^= changed
			b.save(slot, e, next(&c.Peers))
			if !e.is(stored) {
				if !b.wasStored(slot, e) {
					j.taken.fresh = append(j.taken.fresh, e.nodeKey())
				}
				b.store(e)
			}
			j.taken.peers = append(j.taken.peers, slot)
		}
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
	j.taken.gone = append(j.taken.gone, c.Gone...)
	j.taken.bans = slices.AppendSeq(j.taken.bans, maps.Keys(j.bans))
	j.taken.meta = slices.AppendSeq(j.taken.meta, maps.Keys(j.meta))
	empty(&j.gone)
	empty(&j.bans)
	empty(&j.meta)
	return j.peers.n > 0
}

// reset empties c for a new use.
func (c *Changes) reset() { *c = Changes{Peers: c.Peers[:0]} }

// next is one more element of a list, which may hold what was there before: it may have memory.
func next[T any](list *[]T) *T {
	if n := len(*list); n < cap(*list) {
		*list = (*list)[:n+1]
	} else {
		var zero T
		*list = append(*list, zero)
	}
	return &(*list)[len(*list)-1]
}

// wasStored says that e was removed and is known again, before its removal was written.
func (b *Book) wasStored(slot uint32, e *entry) bool {
	if len(b.journal.gone) == 0 {
		return false
	}
	_, was := b.journal.gone[b.idOf(slot, e)]
	return was
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

// Written says that all that was taken is written.
func (b *Book) Written() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.journal.taken = taken{}
}

// GiveBack lists all that was taken since the last Written again, as it could not be written.
func (b *Book) GiveBack() {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := &b.journal
	b.unstore(j.taken.fresh)
	for _, slot := range j.taken.peers {
		if e := b.at(slot); e.is(live) { // another one may be there now, which then is written once more than it must be
			j.peer(slot, e)
		}
	}
	for _, id := range j.taken.gone {
		j.gone[id] = struct{}{}
	}
	for _, t := range j.taken.bans {
		j.ban(t)
	}
	for _, key := range j.taken.meta {
		j.value(key)
	}
	wake(j.some)
	j.taken = taken{}
}

// unstore notes that peers are not persisted after all.
func (b *Book) unstore(keys []nodeKey) {
	if len(keys) == 0 {
		return
	}
	not := make(map[nodeKey]struct{}, len(keys))
	for _, k := range keys {
		not[k] = struct{}{}
		if _, e := b.findKey(&k); e != nil && e.is(stored) {
			e.flags &^= stored
			b.stored--
		}
	}
	for id := range b.journal.gone {
		if _, ok := not[keyOf(id)]; ok {
			delete(b.journal.gone, id)
		}
	}
}

// Rewrite lists all that the book holds as changed: for another place to persist it (anew), or to write it in another form.
func (b *Book) Rewrite(anew bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if anew {
		b.stored = 0
	}
	for slot := range b.entries.next {
		if e := b.at(slot); e.is(live) {
			e.setFlag(stored, e.is(stored) && !anew)
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

// RewriteSome lists the peers of up to limit slots as changed, from a slot on, and says at which slot to go on; done when there are none behind them.
func (b *Book) RewriteSome(from uint32, limit int) (next uint32, done bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ; from < b.entries.next && limit > 0; limit-- {
		if e := b.at(from); e.is(live) {
			b.journal.peer(from, e)
		}
		from++
	}
	return from, from >= b.entries.next
}

// RestoreBan puts a ban that was persisted into the book; false when it has ended, is not valid or is one too many.
func (b *Book) RestoreBan(ban Ban, now time.Time) bool {
	t, err := ban.Target.Normal()
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
