package badger

import (
	"context"
	"math"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protowire"
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
		s.batch = batch{} // who waits for the disk does not write a great deal right afterwards
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
	if s.dirty {
		g.Go(s.db.Sync)
	}
	err := g.Wait()
	s.dirty = s.dirty && err != nil
	return err
}

// maxBatch bounds one batch in peers, so that what has to be given back after a failure stays small.
const maxBatch = 32 * chunk

// write moves changes from the book to the database: up to limit peers, and all else; and then a part of what cleaning there is to do.
func (s *Store) write(limit int) error {
	written, err := s.writeChanges(limit)
	defer func() {
		if written < maxBatch { // a great many changes come seldom, but then one after the other
			s.batch = batch{}
		}
	}()
	if err != nil || limit == 0 {
		return err
	}
	return s.clean(written)
}

// writeChanges moves changes from the book to the database, a batch at a time: up to limit peers, and all else. It says how many peers it wrote.
func (s *Store) writeChanges(limit int) (written int, err error) {
	for more := true; more && written <= limit; {
		n, rest, err := s.writeBatch(min(limit-written, maxBatch), false)
		if err != nil {
			return written, err
		}
		written += n
		more = rest && written < limit
	}
	return written, nil
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
		s.batch.reset(0)
	}()
	s.batch.number = s.page + 1
	w := writer{batch: &s.batch, second: &s.second, now: time.Now()}
	c := &s.batch.changes
	passed := false
	for more = true; more && (peers == 0 || peers < limit); totals = true {
		more = s.TakeChanges(min(limit-peers, chunk), c)
		passed = s.pass.listed && !more
		if c.Empty() && !totals && !passed {
			return 0, false, nil
		}
		if err := w.changes(c); err != nil {
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
		Written: stamp(w.now), Copied: s.second.number, Page: s.batch.number - 1, First: s.first,
	}
	if passed {
		now.First = s.pass.begin
	}
	s.batch.from, s.batch.to = s.oldest, min(now.First, s.oldest+cleanPages)
	value, err := proto.Marshal(now)
	if err != nil {
		return 0, false, err
	}
	s.version++
	s.dirty = true
	if err := s.batch.write(s.db, s.version, value); err != nil {
		return 0, false, err
	}
	s.wrote(now)
	return peers, more, s.head.write(now)
}

// wrote notes that a batch was written, with these totals.
func (s *Store) wrote(now *switchyardpb.StoreTotals) {
	s.records += s.batch.records
	s.pass.records += s.batch.records
	if now.First != s.first { // the pass has ended
		s.records, s.first, s.pass = s.pass.records, now.First, pass{}
	}
	s.sequence, s.page, s.stored, s.oldest = now.Sequence, now.Page, int(now.Peers), max(s.oldest, s.batch.to)
}

// writer adds changes to a batch.
type writer struct {
	batch  *batch
	second *second
	now    time.Time
	key    []byte // of the peer that is being written, as the second copy knows it
	peer   []byte // its StoredPeer
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
	w.batch.open = false // a page says one thing of a peer, and what was taken now may be of one that is in the last page
	for _, id := range c.Gone {
		w.key = appendNode(append(w.key[:0], peerKey), id)
		if _, flagged := w.second.flags[string(w.key)]; flagged {
			w.second.del(w.key)
		}
		page := w.batch.page()
		*page = appendGone(*page, w.key[1:])
	}
	for i := range c.Peers {
		w.add(&c.Peers[i])
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

func (w *writer) add(p *peerstore.Saved) {
	w.key = append(w.key[:0], peerKey)
	if p.Name == "" {
		w.key = append(append(w.key, hexNode), p.Node[:]...)
	} else {
		w.key = appendNode(w.key, p.Name)
	}
	w.peer = protowire.AppendBytes(protowire.AppendVarint(w.peer[:0], peerNode), w.key[1:])
	node := len(w.peer)
	w.peer = appendPeer(w.peer, p)
	w.second.peer(w.key, w.peer[node:], flagsOf(p.Trusted, p.Unconditional, p.Private))
	page := w.batch.page()
	*page = appendPeerTo(*page, w.peer)
}
