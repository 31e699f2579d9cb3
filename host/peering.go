package host

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Peering is a peer from the moment it comes up until it goes down. A peer that comes up again, on a new link or on one
// that stood by, is a new peering: it may have restarted and forgotten all that was sent. Messages belong to the
// peering on which they came (Envelope.Peering). All methods may be called concurrently, also after the end.
type Peering struct {
	host    *Host
	id      transport.NodeID
	number  uint64
	since   time.Time
	inbound bool                 // the peer has dialed the first link that carried it
	link    atomic.Pointer[link] // that carries it

	known atomic.Bool                     // the hooks have returned: messages and streams are handed out
	heard chan struct{}                   // closed with known; nil for a host without hooks
	end   atomic.Pointer[DisconnectError] // why it went down; set before done is closed
	done  chan struct{}

	announced atomic.Bool // EventUp tells of it

	watch     sync.Mutex       // guards the fields below
	ends      []func(*Peering) // called at the end: see onEnd
	followers []*follower      // told of changes, in order: see OnChange
	changes   uint64           // so far
	telling   bool             // a goroutine tells of them
}

// ID returns the peer's node id.
func (p *Peering) ID() transport.NodeID { return p.id }

// Number names the peering within its host: no other one of any peer has it. Of two peerings of a peer the later one
// has the higher number.
func (p *Peering) Number() uint64 { return p.number }

// Info describes the peer, or what it was at its end.
func (p *Peering) Info() PeerInfo { return p.link.Load().info() }

// Done returns a channel that is closed when the peering is down. By then the session has handed over all messages that
// arrived on it; some may still wait in inboxes.
func (p *Peering) Done() <-chan struct{} { return p.done }

// Reason returns why the peering went down; nil before.
func (p *Peering) Reason() *DisconnectError { return p.end.Load() }

// Send is Channel.Send over this peering: msg never reaches a later one of the peer. After the end it returns
// ErrNotConnected.
func (p *Peering) Send(ctx context.Context, c *Channel, msg []byte) error {
	for {
		l := p.link.Load()
		switch {
		case p.end.Load() != nil:
			return ErrNotConnected
		case !slices.Contains(l.channels, c.desc.ID):
			return ErrNoSuchChannel
		}
		if err := l.session.Send(ctx, c.desc.ID, msg); !errors.Is(err, muxer.ErrMoved) {
			return err
		}
	}
}

// TrySend is Send that does not wait.
func (p *Peering) TrySend(c *Channel, msg []byte) bool {
	sent, full := p.trySend(c, msg)
	if full {
		c.refused.Add(1)
	}
	return sent
}

// trySend is TrySend that does not count; full reports whether the session has refused the message.
func (p *Peering) trySend(c *Channel, msg []byte) (sent, full bool) {
	l := p.link.Load()
	if p.end.Load() != nil || !slices.Contains(l.channels, c.desc.ID) {
		return false, false
	}
	for !l.session.TrySend(c.desc.ID, msg) {
		if !l.moved() {
			return false, true
		}
		l = l.move.Load().to
	}
	return true, false
}

// Disconnect ends this peering, and with it a link of the peer that is not up yet. It does nothing once the peering is
// down: a later one of the peer goes on.
func (p *Peering) Disconnect(code muxer.Code, reason string) {
	t := &p.host.links
	t.change.Lock() // so that no other link of the peer comes up meanwhile
	defer t.change.Unlock()
	if p.end.Load() == nil {
		p.host.peers.Disconnect(p.id, &DisconnectError{Code: code, Reason: reason})
	}
}

// finish marks the end of a peering. linkTable.change is held.
func (p *Peering) finish(reason *DisconnectError) {
	if p.end.CompareAndSwap(nil, reason) {
		close(p.done)
		p.watch.Lock()
		ends := p.ends
		p.ends = nil
		p.watch.Unlock()
		for _, fn := range ends {
			fn(p)
		}
	}
}

// onEnd makes the host call fn once when the peering is down, or now if it is. fn must not block, and takes no lock
// that is held around a call into the host: linkTable.change may be held.
func (p *Peering) onEnd(fn func(*Peering)) {
	p.watch.Lock()
	over := p.end.Load() != nil
	if !over {
		p.ends = append(p.ends, fn)
	}
	p.watch.Unlock()
	if over {
		fn(p)
	}
}

// slowHook is how long a hook of OnPeer may take before the host warns of it.
const slowHook = 5 * time.Second

// OnPeer makes the host call fn with each peering that comes up, before the first message of it is handed out on any
// channel, and before its streams are served. It fails with ErrStarted once Run was called.
//
// Hooks run in the order in which they were added, for one peering of a peer after the other, and for several peers at
// once. What the peer sends waits meanwhile in the session, which reads no more than its buffers hold; other peers and
// keep-alives are not held up. So fn may send, but must return soon, and at the latest when Peering.Done is closed: Run
// waits for it, and there is a warning after 5 s. A hook that panics has returned; the stack is logged. There is no
// call for a peering that goes down before its turn, and no message of it.
func (h *Host) OnPeer(fn func(*Peering)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running {
		return ErrStarted
	}
	h.hooks = append(h.hooks, fn)
	return nil
}

// introduce calls the hooks for a peering that has come up. linkTable.change is held.
func (p *Peering) introduce() {
	t := &p.host.links
	_, busy := t.introduced[p.id]
	if t.introduced == nil {
		t.introduced = map[transport.NodeID]*Peering{}
	}
	t.introduced[p.id] = p // one that waits there has ended
	if !busy && !p.host.tasks.spawn(func() { t.introduceAll(p.id) }) {
		delete(t.introduced, p.id) // the host stops: nothing of the peering is handed out any more
	}
}

// introduceAll calls the hooks for the peerings of a peer, one after the other, until none waits.
func (t *linkTable) introduceAll(id transport.NodeID) {
	for {
		t.change.Lock()
		p := t.introduced[id]
		if p == nil {
			delete(t.introduced, id)
			t.change.Unlock()
			return
		}
		t.introduced[id] = nil
		t.change.Unlock()
		if p.end.Load() != nil {
			continue
		}
		for _, hook := range p.host.hooks {
			p.call(hook)
		}
		p.known.Store(true)
		close(p.heard)
	}
}

// call calls one hook.
func (p *Peering) call(hook func(*Peering)) {
	log := p.host.log
	slow := time.AfterFunc(slowHook, func() {
		log.Warn("a hook of OnPeer holds up the messages of a peer", slog.String("peer", string(p.id)),
			slog.Duration("for", slowHook))
	})
	defer func() {
		slow.Stop()
		if r := recover(); r != nil {
			log.Error("a hook of OnPeer panicked", slog.String("peer", string(p.id)), slog.Any("panic", r),
				slog.String("stack", string(debug.Stack())))
		}
	}()
	hook(p)
}

// await waits until what comes over the link may be handed out, and returns the peering to which it belongs: the link's
// own; for the second link of a guest, which serves beside the first one, that of the first. A link that stands by has
// none until it comes up. await returns nil if the link's own peering goes down first. The error is why ctx ended.
func (l *link) await(ctx context.Context) (*Peering, error) {
	t := &l.host.links
	for {
		t.change.Lock()
		p := l.peering.Load()
		if first := t.of(l.peer); p == nil && first != nil && l.shake.Remote.Guest {
			p = first.peering.Load()
		}
		var heard, done, turn <-chan struct{}
		if p != nil {
			heard, done = p.heard, p.done
		} else {
			turn = t.awaitTurn()
		}
		t.change.Unlock()
		if p != nil && p.known.Load() {
			return p, nil
		}
		select {
		case <-heard:
			return p, nil
		case <-done:
			if p == l.peering.Load() {
				return nil, nil
			}
		case <-turn:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// awaitTurn returns a channel that is closed when the next link comes up. change is held.
func (t *linkTable) awaitTurn() <-chan struct{} {
	if t.turn == nil {
		t.turn = make(chan struct{})
	}
	return t.turn
}
