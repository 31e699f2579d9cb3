package muxertest

import (
	"context"
	"sync"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Inbox is a muxer.Handler that keeps what it gets and takes no streams. It can be paused, as a service that does not
// keep up pauses a channel. The zero value is ready.
type Inbox struct {
	// OnDeliver, if set, sees each delivery before it is kept; its error ends the session. Set it before use.
	OnDeliver func(msgs []muxer.Message) error

	mu          sync.Mutex
	cond        *sync.Cond
	established bool
	msgs        []muxer.Message
	paused      chan struct{} // closed by Resume; nil when not paused
	waiting     int           // calls of Deliver that wait
}

// locked takes the mutex.
func (b *Inbox) locked() func() {
	b.mu.Lock()
	if b.cond == nil {
		b.cond = sync.NewCond(&b.mu)
	}
	return b.mu.Unlock
}

// Established implements muxer.Handler.
func (b *Inbox) Established() {
	defer b.locked()()
	b.established = true
	b.cond.Broadcast()
}

// AwaitEstablished returns once the session has said that the remote accepted the link.
func (b *Inbox) AwaitEstablished() {
	defer b.locked()()
	for !b.established {
		b.cond.Wait()
	}
}

// Serves implements muxer.Handler.
func (*Inbox) Serves(string) bool { return false }

// ServeStream implements muxer.Handler.
func (*Inbox) ServeStream(_ context.Context, s muxer.Stream) { _ = s.Reset(muxer.CodeIncompatible) }

// Deliver implements muxer.Handler.
func (b *Inbox) Deliver(ctx context.Context, msgs []muxer.Message) error {
	unlock := b.locked()
	for b.paused != nil {
		paused := b.paused
		b.waiting++
		b.cond.Broadcast()
		b.mu.Unlock()
		select {
		case <-paused:
		case <-ctx.Done():
		}
		b.mu.Lock()
		b.waiting--
		if ctx.Err() != nil {
			b.mu.Unlock()
			return ctx.Err()
		}
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
	for b.waiting == 0 {
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

// HandlerFunc is a muxer.Handler that is called with messages and takes no streams.
type HandlerFunc func(msgs []muxer.Message) error

// Established implements muxer.Handler.
func (HandlerFunc) Established() {}

// Deliver implements muxer.Handler.
func (f HandlerFunc) Deliver(_ context.Context, msgs []muxer.Message) error { return f(msgs) }

// Serves implements muxer.Handler.
func (HandlerFunc) Serves(string) bool { return false }

// ServeStream implements muxer.Handler.
func (HandlerFunc) ServeStream(_ context.Context, s muxer.Stream) {
	_ = s.Reset(muxer.CodeIncompatible)
}
