package badger

import (
	"context"
	"math"
	"time"

	bdb "github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// allPeers is the limit of a persist that writes all changed peers; bans, removals and small values always go.
const allPeers = math.MaxInt

// chunk is how many peers are taken from the book at once: its lock is held for about a microsecond for each.
const chunk = 256

// persist writes what has changed: up to limit peers, and all else. With sync it waits until the disk has it. It gives back to the book what
// could not be written. Only ctx's end while another one writes makes it return without having tried.
func (s *Store) persist(ctx context.Context, op string, limit int, sync bool) error {
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return &StoreError{op, s.path, context.Cause(ctx)}
	}
	defer func() { <-s.writing }()
	if s.closed {
		return &StoreError{op, s.path, peerstore.ErrClosed}
	}
	if err := s.write(limit); err != nil {
		return &StoreError{op, s.path, err}
	}
	if sync {
		if err := s.sync(); err != nil {
			return &StoreError{op, s.path, err}
		}
	}
	return nil
}

// sync waits until the disk has what was written.
func (s *Store) sync() error {
	var g errgroup.Group
	g.Go(s.second.sync)
	g.Go(s.db.Sync)
	return g.Wait()
}

// maxBatch bounds one batch in peers, so that what has to be given back after a failure stays small.
const maxBatch = 64 * chunk

// write moves changes from the book to the database, a batch at a time: up to limit peers, and all else.
func (s *Store) write(limit int) error {
	for more := true; more && limit >= 0; {
		n, rest, err := s.writeBatch(min(limit, maxBatch), false)
		if err != nil {
			return err
		}
		limit -= n
		more = rest && limit > 0
	}
	return nil
}

// writeBatch writes up to limit changed peers, and all other changes; with totals, those are written even if there is nothing else. It says how many peers
// it wrote, and whether there are more. What it cannot write it gives back.
func (s *Store) writeBatch(limit int, totals bool) (peers int, more bool, err error) {
	if free := freeSpace(s.path); free < s.opts.MinFree {
		return 0, false, diskFull(free, s.opts.MinFree)
	}
	defer func() {
		if err != nil {
			s.GiveBack()
		} else {
			s.Written()
		}
	}()
	w := writer{batch: s.db.NewWriteBatch(), second: &s.second, now: time.Now(), expiry: s.Book.Limits().Expiry}
	defer w.batch.Cancel()
	var c peerstore.Changes
	for more = true; more && (peers == 0 || peers < limit); totals = true {
		more = s.TakeChanges(min(limit-peers, chunk), &c)
		if c.Empty() && !totals {
			return 0, false, nil
		}
		if err := w.changes(&c); err != nil {
			return 0, false, err
		}
		if peers += len(c.Peers); limit == 0 {
			break
		}
	}
	if err := s.second.flush(s.eachBan); err != nil {
		return 0, false, err
	}
	now := &switchyardpb.StoreTotals{
		Sequence: s.sequence + 1, Peers: uint64(c.Stored), Bans: uint64(c.Banned),
		Written: stamp(w.now), Expiry: uint64(w.expiry / time.Second), Copied: s.second.number,
	}
	value, err := proto.Marshal(now)
	if err != nil {
		return 0, false, err
	}
	if err := w.batch.Set([]byte{totalsKey}, value); err != nil {
		return 0, false, err
	}
	if err := w.batch.Flush(); err != nil {
		return 0, false, err
	}
	s.sequence++
	return peers, more, s.head.write(now)
}

// writer adds changes to a batch. A peer that is removed in one part and known again in a later one comes out right, as later entries of a batch prevail.
type writer struct {
	batch  *bdb.WriteBatch
	second *second
	now    time.Time
	expiry time.Duration // of learned peers
	room   []byte        // memory for keys and values, which the batch keeps
}

// grace is for how long after its end the database keeps what ends by itself: a peer that was not seen for Limits.Expiry, a ban with an end. While a store is in use,
// or is opened within that time, it is the book that lets go of them, and counts them right. What lies unused for longer shrinks by itself, at the next compaction.
const grace = 30 * 24 * time.Hour

// put adds a key and value. Some time after end (never, if that is the zero time) the database lets go of them by itself.
func (w *writer) put(key, value []byte, end time.Time) error {
	e := bdb.NewEntry(key, value)
	if !end.IsZero() {
		e.ExpiresAt = uint64(later(end, w.now).Add(grace).Unix())
	}
	return w.batch.SetEntry(e)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Many keys and values share a piece of memory, of which none takes more than a quarter as a rule.
const (
	firstRoom = 1 << 10
	mostRoom  = 32 << 10
)

func (w *writer) changes(c *peerstore.Changes) error {
	for _, id := range c.Gone {
		key := appendNode([]byte{peerKey}, id)
		if _, flagged := w.second.flags[string(key)]; flagged {
			w.second.del(key)
		}
		if err := w.batch.Delete(key); err != nil {
			return err
		}
	}
	for i := range c.Peers {
		if err := w.peer(&c.Peers[i]); err != nil {
			return err
		}
	}
	for _, t := range c.Lifted {
		if err := w.del(nameKey(banKey, t.String())); err != nil {
			return err
		}
	}
	for i := range c.Bans {
		if err := w.ban(&c.Bans[i]); err != nil {
			return err
		}
	}
	for name, value := range c.Meta {
		key := nameKey(metaKey, name)
		if value == nil {
			if err := w.del(key); err != nil {
				return err
			}
			continue
		}
		w.second.put(key, value)
		if err := w.batch.Set(key, value); err != nil {
			return err
		}
	}
	return nil
}

// del removes a ban or a small value.
func (w *writer) del(key []byte) error {
	w.second.del(key)
	return w.batch.Delete(key)
}

func (w *writer) ban(b *peerstore.Ban) error {
	key := nameKey(banKey, b.Target.String())
	value, err := encodeBan(b)
	if err != nil {
		return err
	}
	w.second.put(key, value)
	return w.put(key, value, b.Until)
}

func (w *writer) peer(p *peerstore.Saved) error {
	if cap(w.room)-len(w.room) < cap(w.room)/4 || w.room == nil {
		w.room = make([]byte, 0, min(max(2*cap(w.room), firstRoom), mostRoom))
	}
	at := len(w.room)
	w.room = append(w.room, peerKey)
	if p.Name == "" {
		w.room = append(append(w.room, hexNode), p.Node[:]...)
	} else {
		w.room = appendNode(w.room, p.Name)
	}
	value := len(w.room)
	w.room = appendPeer(w.room, p)
	last := len(w.room)
	var end time.Time
	if !p.Trusted && !p.Unconditional && !p.Busy { // these the book never forgets, and it writes them again when they are so no longer
		end = unstamp(uint64(p.LastSeen())).Add(w.expiry)
	}
	key, all := w.room[at:value:value], w.room[value:last:last]
	w.second.peer(key, all, flagsOf(p.Trusted, p.Unconditional, p.Private))
	return w.put(key, all, end)
}
