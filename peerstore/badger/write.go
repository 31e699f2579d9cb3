package badger

import (
	"context"
	"errors"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/internal/book"
)

// batchSize is how many changed peers the store takes from the book at once: the book is locked for about a
// microsecond for each.
const batchSize = 512

// How far persist goes: a kill loses nothing, the disk has the keep log, the disk has everything.
const written, kept, synced = 0, 1, 2

// persist writes what has changed, as far as it is told. It gives back to the book what it cannot write. If ctx ends
// while another call writes, it returns without having tried.
func (s *Store) persist(ctx context.Context, far int) error {
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.writing }()
	if s.closed {
		return peerstore.ErrClosed
	}
	err := s.writePeers()
	if far == written {
		return err
	}
	file, errKeep := s.keep.update(func() []byte { return nil })
	if errKeep == nil {
		errKeep = s.keep.sync(file)
	}
	if err = errors.Join(err, errKeep); err != nil || far < synced {
		return err
	}
	s.changes = book.Changes{} // the memory of a large flush is not kept
	if !s.dirty {
		return nil
	}
	if err := s.db.Sync(); err != nil {
		return err
	}
	s.dirty = false
	return nil
}

// writePeers moves the changes of the book to the database. The flags of these peers are in the keep log before that:
// one that was forgotten with its flags, and learned anew, must not have them back after a kill.
func (s *Store) writePeers() error {
	for more := true; more; {
		c := &s.changes
		if more = s.TakeChanges(batchSize, c); len(c.Peers)+len(c.Removed) == 0 {
			continue
		}
		ids := c.Removed
		for i := range c.Peers {
			ids = append(ids, c.Peers[i].ID)
		}
		_, err := s.keepFlags(ids...)
		if err == nil {
			err = s.writeBatch(c)
		}
		if err != nil {
			s.PutBack(c)
			return err
		}
	}
	return nil
}

func (s *Store) writeBatch(c *book.Changes) error {
	if err := checkFree(s.path, s.opts.MinFree); err != nil {
		return err
	}
	s.dirty = true
	to := s.db.NewWriteBatch()
	defer to.Cancel()
	for _, id := range c.Removed {
		if err := to.Delete(peerKeyOf(id)); err != nil {
			return err
		}
	}
	for i := range c.Peers {
		value, err := encodePeer(&c.Peers[i])
		if err != nil {
			return err
		}
		if err := to.Set(peerKeyOf(c.Peers[i].ID), value); err != nil {
			return err
		}
	}
	return to.Flush()
}
