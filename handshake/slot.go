package handshake

import (
	"context"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Slot is a place in the inbound budgets. Its methods belong to one goroutine at a time; the budgets may take the place away at any moment, for a
// newcomer from a source that holds fewer.
type Slot struct {
	budgets *budgets
	source  *source // nil for a transport without IPs
	raw     transport.Conn

	// Guarded by budgets.mu.
	over       bool // given back, or taken away
	cut        bool // taken away
	proven     bool // the remote has proven its key
	cancel     context.CancelFunc
	prev, next *Slot // in the order in which they were taken
}

// Release gives the place back. Inbound does so itself; it is for a connection that never gets there. It may be called more than once.
func (s *Slot) Release() { s.finish() }

// finish gives the place back and says whether it was still ours.
func (s *Slot) finish() bool {
	if s == nil {
		return true
	}
	b := s.budgets
	b.mu.Lock()
	defer b.mu.Unlock()
	if !s.over {
		b.give(s, time.Now())
	}
	return !s.cut
}

// bind lets the budgets end a handshake by cancel instead of closing the connection under it. It says false if the place was taken away before.
func (s *Slot) bind(cancel context.CancelFunc) bool {
	if s == nil {
		return true
	}
	s.budgets.mu.Lock()
	defer s.budgets.mu.Unlock()
	s.cancel = cancel
	return !s.cut
}

// prove notes that the remote has proven its key: of two handshakes of one source, the one that has not is cut off first.
func (s *Slot) prove() {
	if s == nil {
		return
	}
	s.budgets.mu.Lock()
	defer s.budgets.mu.Unlock()
	s.proven = true
}

// interrupt ends the handshake of a place that was taken away. Call it without budgets.mu.
func (s *Slot) interrupt() {
	s.budgets.mu.Lock()
	cancel := s.cancel
	s.budgets.mu.Unlock()
	if cancel != nil {
		cancel() // the Upgrader closes the connection then
		return
	}
	_ = s.raw.Close()
}

// slots is a list of the places that are taken, oldest first. The zero value is empty.
type slots struct{ oldest, newest *Slot }

func (l *slots) push(s *Slot) {
	s.prev = l.newest
	if l.newest == nil {
		l.oldest = s
	} else {
		l.newest.next = s
	}
	l.newest = s
}

func (l *slots) remove(s *Slot) {
	if s.prev == nil {
		l.oldest = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		l.newest = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
}
