package badger

import (
	"context"
	"math"

	bdb "github.com/dgraph-io/badger/v4"
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
		if err := s.db.Sync(); err != nil {
			return &StoreError{op, s.path, err}
		}
	}
	return nil
}

// maxBatch bounds one batch in peers, so that what has to be given back after a failure stays small.
const maxBatch = 64 * chunk

// write moves changes from the book to the database, a batch at a time.
func (s *Store) write(limit int) error {
	for more := true; more; {
		var taken []peerstore.Changes
		for peers := 0; more && peers < maxBatch; {
			var c peerstore.Changes
			c, more = s.TakeChanges(min(limit, chunk))
			if !c.Empty() {
				taken = append(taken, c)
			}
			peers += len(c.Peers)
			limit -= len(c.Peers)
			if limit <= 0 {
				more = false
			}
		}
		if len(taken) == 0 {
			return nil
		}
		if err := s.writeBatch(taken); err != nil {
			for _, c := range taken {
				s.GiveBack(c)
			}
			return err
		}
	}
	return nil
}

func (s *Store) writeBatch(taken []peerstore.Changes) error {
	if free := freeSpace(s.path); free < s.opts.MinFree {
		return diskFull(free, s.opts.MinFree)
	}
	batch := s.db.NewWriteBatch()
	defer batch.Cancel()
	for i := range taken {
		if err := putChanges(batch, &taken[i]); err != nil {
			return err
		}
	}
	last := &taken[len(taken)-1]
	totals := &switchyardpb.StoreTotals{
		Sequence: s.sequence + 1,
		Peers:    uint64(last.Stored),
		Bans:     uint64(last.Banned),
	}
	value, err := proto.Marshal(totals)
	if err != nil {
		return err
	}
	if err := batch.Set([]byte{totalsKey}, value); err != nil {
		return err
	}
	if err := batch.Flush(); err != nil {
		return err
	}
	s.sequence++
	return s.head.write(totals)
}

// putChanges adds the changes to the batch. A peer that is removed in one part and known again in a later one comes out right, as
// later entries of a batch prevail.
func putChanges(batch *bdb.WriteBatch, c *peerstore.Changes) error {
	for _, id := range c.Gone {
		if err := batch.Delete(appendNode([]byte{peerKey}, id)); err != nil {
			return err
		}
	}
	for i := range c.Peers {
		value, err := encodePeer(&c.Peers[i])
		if err != nil {
			return err
		}
		if err := batch.Set(appendNode([]byte{peerKey}, c.Peers[i].ID), value); err != nil {
			return err
		}
	}
	for _, t := range c.Lifted {
		if err := batch.Delete(nameKey(banKey, t.String())); err != nil {
			return err
		}
	}
	for i := range c.Bans {
		value, err := encodeBan(&c.Bans[i])
		if err != nil {
			return err
		}
		if err := batch.Set(nameKey(banKey, c.Bans[i].Target.String()), value); err != nil {
			return err
		}
	}
	for key, value := range c.Meta {
		var err error
		if value == nil {
			err = batch.Delete(nameKey(metaKey, key))
		} else {
			err = batch.Set(nameKey(metaKey, key), value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
