package main

// book is one of the compared stores. It leaves out the operations that it has no counterpart for (see kind.lacks).
type book interface {
	// prepare makes the addresses and sources of peers from..to in the store's own form. Only the memory counts it.
	prepare(from, to int)
	// learned drops the results of prepare.
	learned()
	// add learns peer i, which was prepared.
	add(i int)
	// pick chooses a peer to dial and changes nothing.
	pick() bool
	// fail chooses a peer to dial, and reports that it could not be reached.
	fail() bool
	// advertise chooses addresses to advertise, 100 if the store lets one choose.
	advertise() int
	// held returns how many peers the store has.
	held() int
	// written returns when everything is on disk.
	written() error
	close() error
}

// kind is one sort of book.
type kind struct {
	name  string
	ours  bool
	most  int                                                  // peers that it is measured with at most
	open  func(dir string, peers []peer) (book, error)         // opens what is in dir, or begins an empty one there
	disk  bool                                                 // has a database that works in the background
	lacks map[string]bool                                      // operations that it does not have
	visit func(n int, peers []peer) (map[string]sample, error) // instead of open, for a book in another process
}
