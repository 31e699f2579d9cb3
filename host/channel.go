package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Envelope is a message from a peer.
type Envelope struct {
	From    transport.NodeID
	Peering uint64 // the peering on which it came: see Peering.Number
	Message []byte // the receiver's own
}

// Release returns the memory of Message for reuse. Services with many or large messages may call it; for others the
// collector does. Do not use Message afterwards, and do not release one that was sent on or is referred to elsewhere.
func (e Envelope) Release() { muxer.FreeBuffer(e.Message) }

// Channel exchanges whole messages with peers. All methods may be called concurrently.
type Channel struct {
	host  *Host
	desc  muxer.Channel // with defaults
	index int           // in Host.channels

	wake    chan struct{} // capacity 1: something may have become ready
	waiting atomic.Int32  // receivers that wait

	mu    sync.Mutex
	ready []*inbox // ready[first:] have messages; the first is received from next
	first int
	freed int64 // bytes received by the service but not yet given back to the shared budget
	down  bool  // its service has panicked: messages are dropped

	visited atomic.Pointer[func(PeerInfo, []byte) []byte] // see AnswerVisitors

	dropped atomic.Uint64 // messages that did not fit an inbox
	refused atomic.Uint64 // messages that TrySend or Broadcast could not queue
}

// Descriptor returns what the channel was opened with, defaults filled in.
func (c *Channel) Descriptor() muxer.Channel { return c.desc }

// Send queues msg for a peer. It waits while the peer's send queue of this channel is full. The buffer is shared, not
// copied: do not change it afterwards. Errors: ErrNotConnected, ErrNoSuchChannel, muxer.ErrMessageTooLarge, ctx's.
func (c *Channel) Send(ctx context.Context, to transport.NodeID, msg []byte) error {
	for {
		l := c.host.links.of(to)
		if l == nil {
			return ErrNotConnected
		}
		if !slices.Contains(l.channels, c.desc.ID) {
			return ErrNoSuchChannel
		}
		if err := l.session.Send(ctx, c.desc.ID, msg); !errors.Is(err, muxer.ErrMoved) {
			return err
		}
	}
}

// TrySend is Send that does not wait.
func (c *Channel) TrySend(to transport.NodeID, msg []byte) bool {
	l := c.host.links.of(to)
	if l == nil || !slices.Contains(l.channels, c.desc.ID) {
		return false
	}
	for !l.session.TrySend(c.desc.ID, msg) {
		if !l.moved() {
			c.refused.Add(1)
			return false
		}
		l = l.move.Load().to
	}
	return true
}

// Broadcast tries to send msg to every peer that serves the channel, and returns how many took it. The peers share the
// buffer: do not change it afterwards. A slow peer delays nobody: its copy is dropped and counted.
func (c *Channel) Broadcast(msg []byte) int {
	n := 0
	c.host.links.eachUp(func(l *link) {
		if !slices.Contains(l.channels, c.desc.ID) {
			return
		}
		switch {
		case l.session.TrySend(c.desc.ID, msg):
			n++
		case l.moved() && c.TrySend(l.peer, msg):
			n++
		case !l.moved(): // else TrySend has counted it
			c.refused.Add(1)
		}
	})
	return n
}

// Receive waits for the next message, fair over peers, in order per peer. Its error is ErrStopped or ctx's.
func (c *Channel) Receive(ctx context.Context) (Envelope, error) {
	if e, _, ok := c.next(false); ok {
		return e, nil
	}
	c.waiting.Add(1)
	defer c.waiting.Add(-1)
	for {
		if e, _, ok := c.next(false); ok {
			return e, nil
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return Envelope{}, ctx.Err()
		case <-c.host.tasks.stopped:
			return Envelope{}, ErrStopped
		}
	}
}

// Serve calls handle for each message until ctx ends, the host stops, or handle fails. A handle that panics takes this
// channel down (later messages are dropped and counted) and not the node: the stack is logged, and Serve returns an
// error.
func (c *Channel) Serve(ctx context.Context, handle func(context.Context, Envelope) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = c.panicked(p)
		}
	}()
	for {
		e, err := c.Receive(ctx)
		if err != nil {
			return err
		}
		if err := handle(ctx, e); err != nil {
			return err
		}
	}
}

// panicked takes the channel down, and returns why.
func (c *Channel) panicked(with any) error {
	c.takeDown()
	c.host.log.Error("a service panicked; its channel is down", slog.String("channel", c.desc.Name),
		slog.Any("panic", with), slog.String("stack", string(debug.Stack())))
	return fmt.Errorf("service of channel %s panicked: %v", c.desc.Name, with)
}

func (c *Channel) takeDown() {
	c.mu.Lock()
	c.down = true
	cleared, freed := c.ready[c.first:], c.freed
	for _, ib := range cleared {
		freed += c.clear(ib)
	}
	c.ready, c.first, c.freed = nil, 0, 0
	c.mu.Unlock()
	c.host.memory.add(-freed)
	for _, ib := range cleared {
		c.host.memory.drained(ib.box)
	}
}

func (c *Channel) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
