package handshake

import (
	"container/list"
	"context"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// ticket is a transport.Ticket of the inbound budgets. Its methods belong to one goroutine at a time. The budgets may
// take the ticket away at any moment, for a newcomer from a source that holds fewer.
type ticket struct {
	budgets *budgets
	source  *source // nil for a transport without IPs
	conn    transport.Conn

	// Guarded by budgets.mu.
	over   bool // given back, or taken away
	cut    bool // taken away
	proven bool // the remote has proven its key
	cancel context.CancelFunc
	place  *list.Element // in budgets.taken
}

// Release gives the ticket back. It may be called more than once.
func (t *ticket) Release() { t.finish() }

// finish gives the ticket back and reports whether it was still ours.
func (t *ticket) finish() bool {
	if t == nil {
		return true
	}
	b := t.budgets
	b.mu.Lock()
	defer b.mu.Unlock()
	if !t.over {
		b.give(t, time.Now())
	}
	return !t.cut
}

// bind makes the budgets end the handshake by cancel instead of closing the connection under it. It reports false if
// the ticket was taken away before.
func (t *ticket) bind(cancel context.CancelFunc) bool {
	if t == nil {
		return true
	}
	t.budgets.mu.Lock()
	defer t.budgets.mu.Unlock()
	t.cancel = cancel
	return !t.cut
}

// prove notes that the remote has proven its key: of two handshakes of one source, the one that has not is ended first.
func (t *ticket) prove() {
	if t == nil {
		return
	}
	t.budgets.mu.Lock()
	defer t.budgets.mu.Unlock()
	t.proven = true
}

// interrupt ends the handshake of a ticket that was taken away. Call it without budgets.mu.
func (t *ticket) interrupt() {
	t.budgets.mu.Lock()
	cancel := t.cancel
	t.budgets.mu.Unlock()
	if cancel != nil {
		cancel() // the Upgrader closes the connection then
		return
	}
	_ = t.conn.Close()
}
