package badger

// Records that no longer hold stay in their pages until all peers have been written anew and all older pages can be removed. That is done in passes: one begins when there are
// twice as many records as peers, and with each write it has some peers written that have not changed, twice as many as have, so there is never a great deal to do at once.
// At its end there are at most three and a half times as many records as peers, and half of these peers were written since. The database gives the space back when it next
// merges its tables.

const (
	cleanFactor = 2
	cleanFloor  = 1 << 13 // so many records more are let be
	cleanLeast  = 1 << 10 // peers written with each write
	cleanShare  = 2       // for each that has changed
	// cleanMost is how many times as many records as peers there may be when a store is opened until all is written anew at once: the passes of a program that never runs for
	// long never end.
	cleanMost = 4
	// cleanPages is how many pages one batch removes.
	cleanPages = 1 << 12
)

// pass is one on its way; what it has done is forgotten when the store is closed.
type pass struct {
	on      bool
	begin   uint64 // pages before this one go when all peers are in others
	slot    uint32 // of the next peer to be listed as changed
	listed  bool   // all are
	records int    // in the pages from begin on
}

// clean goes on with the pass, or begins one if there is need to, after so many peers were written.
func (s *Store) clean(written int) error {
	if !s.pass.on {
		if s.records <= cleanFactor*s.stored+s.opts.floor {
			return nil
		}
		s.pass = pass{on: true, begin: s.page + 1}
	}
	for left := max(s.opts.least, cleanShare*written); left > 0 && !s.pass.listed; left -= cleanLeast { // the book's lock is held for some microseconds each time
		s.pass.slot, s.pass.listed = s.RewriteSome(s.pass.slot, min(left, cleanLeast))
	}
	_, err := s.writeChanges(allPeers)
	return err
}

// renew does a whole pass at once.
func (s *Store) renew() error {
	s.Rewrite(false)
	s.pass = pass{on: true, begin: s.page + 1, listed: true}
	_, err := s.writeChanges(allPeers)
	return err
}
