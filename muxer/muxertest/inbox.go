package muxertest

import (
	"context"
	"sync"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Inbox is a muxer.Handler that keeps what it gets. It can be paused, as a service that does not keep up pauses a session. The zero
// value is ready.
type Inbox struct {
	// OnDeliver, if set, sees each delivery before it is kept; its error ends the session. Set it before use.
	OnDeliver func(msgs []muxer.Message) error

	mu      sync.Mutex
	cond    *sync.Cond
	msgs    []muxer.Message
	paused  chan struct{} // closed by Resume; nil when not paused
	waiting bool          // a Deliver waits
}

// locked takes the mutex.
func (b *Inbox) locked() func() {
	b.mu.Lock()
	if b.cond == nil {
		b.cond = sync.NewCond(&b.mu)
	}
	return b.mu.Unlock
}

// Deliver implements muxer.Handler.
func (b *Inbox) Deliver(ctx context.Context, msgs []muxer.Message) error {
	unlock := b.locked()
	for b.paused != nil {
		paused := b.paused
		b.waiting = true
		b.cond.Broadcast()
		b.mu.Unlock()
		select {
		case <-paused:
		case <-ctx.Done():
			return ctx.Err()
		}
		b.mu.Lock()
		b.waiting = false
	}
	defer unlock()
	if b.OnDeliver != nil {
		if err := b.OnDeliver(msgs); err != nil {
			return err
		}
	}
	b.msgs = append(b.msgs, msgs...)
	b.cond.Broadcast()
	return nil
}

// DeliverNow implements muxer.PromptHandler. It takes a half at a time, so that a session has to deliver the rest, and leaves to Deliver what OnDeliver is to see.
func (b *Inbox) DeliverNow(msgs []muxer.Message) int {
	defer b.locked()()
	if b.paused != nil || b.OnDeliver != nil {
		return 0
	}
	n := (len(msgs) + 1) / 2
	b.msgs = append(b.msgs, msgs[:n]...)
	b.cond.Broadcast()
	return n
}

// Pause makes Deliver wait until Resume.
func (b *Inbox) Pause() {
	defer b.locked()()
	if b.paused == nil {
		b.paused = make(chan struct{})
	}
}

// Resume ends a Pause.
func (b *Inbox) Resume() {
	defer b.locked()()
	if b.paused != nil {
		close(b.paused)
		b.paused = nil
	}
}

// AwaitPaused returns once a Deliver waits for Resume.
func (b *Inbox) AwaitPaused() {
	defer b.locked()()
	for !b.waiting {
		b.cond.Wait()
	}
}

// Await waits until n messages have come, and returns and forgets all that have.
func (b *Inbox) Await(n int) []muxer.Message {
	defer b.locked()()
	for len(b.msgs) < n {
		b.cond.Wait()
	}
	msgs := b.msgs
	b.msgs = nil
	return msgs
}

// Len is how many messages are there.
func (b *Inbox) Len() int {
	defer b.locked()()
	return len(b.msgs)
}
