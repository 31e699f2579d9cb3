package badger

import (
	"context"
	"math"
	"time"

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
const maxBatch = 32 * chunk

// write moves changes from the book to the database, a batch at a time: up to limit peers, and all else.
func (s *Store) write(limit int) error {
	defer func() { s.batch = batch{} }() // a great many changes come seldom
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

// writeBatch writes up to limit changed peers, and all other changes, with what the batch holds already; with totals, those are written even if there is nothing else. It says how many peers
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
		s.batch.reset()
	}()
	w := writer{batch: &s.batch, second: &s.second, now: time.Now(), expiry: s.Book.Limits().Expiry}
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
	s.version++
	if err := s.batch.write(s.db, s.version, value); err != nil {
		return 0, false, err
	}
	s.sequence++
	return peers, more, s.head.write(now)
}

// writer adds changes to a batch.
type writer struct {
	batch  *batch
	second *second
	now    time.Time
	expiry time.Duration // of learned peers
}

// until is when the database may let go of what ends then, in seconds; 0 for what has no end.
func (w *writer) until(end time.Time) uint64 {
	if end.IsZero() {
		return 0
	}
	return uint64(later(end, w.now).Add(grace).Unix())
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (w *writer) changes(c *peerstore.Changes) error {
	for _, id := range c.Gone {
		key := appendNode([]byte{peerKey}, id)
		if _, flagged := w.second.flags[string(key)]; flagged {
			w.second.del(key)
		}
		w.batch.del(key)
	}
	for i := range c.Peers {
		w.peer(&c.Peers[i])
	}
	for _, t := range c.Lifted {
		w.del(nameKey(banKey, t.String()))
	}
	for i := range c.Bans {
		if err := w.ban(&c.Bans[i]); err != nil {
			return err
		}
	}
	for name, value := range c.Meta {
		key := nameKey(metaKey, name)
		if value == nil {
			w.del(key)
			continue
		}
		w.second.put(key, value)
		w.batch.put(key, value, 0)
	}
	return nil
}

// del removes a ban or a small value.
func (w *writer) del(key []byte) {
	w.second.del(key)
	w.batch.del(key)
}

func (w *writer) ban(b *peerstore.Ban) error {
	key := nameKey(banKey, b.Target.String())
	value, err := encodeBan(b)
	if err != nil {
		return err
	}
	w.second.put(key, value)
	w.batch.put(key, value, w.until(b.Until))
	return nil
}

func (w *writer) peer(p *peerstore.Saved) {
	b := append(w.batch.space(), peerKey)
	if p.Name == "" {
		b = append(append(b, hexNode), p.Node[:]...)
	} else {
		b = appendNode(b, p.Name)
	}
	key := len(b)
	b = appendPeer(b, p)
	var end uint64
	if !p.Trusted && !p.Unconditional && !p.Busy { // these the book never forgets, and it writes them again when they are so no longer
		end = w.until(unstamp(uint64(p.LastSeen())).Add(w.expiry))
	}
	w.second.peer(b[:key], b[key:], flagsOf(p.Trusted, p.Unconditional, p.Private))
	w.batch.putSpace(b, key, end)
}
