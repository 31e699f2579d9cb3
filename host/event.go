package host

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Event is one thing that happened to a connection, for people and programs that watch a node.
type Event struct {
	Time     time.Time
	Kind     EventKind
	ID       transport.NodeID // may be empty
	Address  string           // for EventBan and EventUnban, the target
	Inbound  bool
	Stage    string           // of a failed dial or a refusal
	Reason   *DisconnectError // nil for EventUp
	Duration time.Duration    // of the dial or the handshake; of the link for EventDown
}

// EventKind is what happened.
type EventKind string

const (
	EventUp         EventKind = "peer-up"
	EventDown       EventKind = "peer-down" // with CodeDuplicate: another link of the peer goes on
	EventDialFailed EventKind = "dial-failed"
	EventRefused    EventKind = "refused"
	EventFeeler     EventKind = "feeler"      // a short dial has shown that an address works
	EventMoved      EventKind = "moved"       // the peer stays up, on a better link
	EventMoveFailed EventKind = "move-failed" // the peer stays up, on the link that it has
	EventBan        EventKind = "ban"         // Reason says until when, and why
	EventUnban      EventKind = "unban"
)

const (
	eventBuffer    = 256 // events that a watcher may lag behind before it loses some
	maxEventStream = 64  // watchers at once
)

// eventHub sends events to watchers. A watcher that lags loses events and delays nobody.
type eventHub struct {
	mu       sync.Mutex
	watchers map[chan Event]struct{}
	closed   bool
}

func (h *Host) emit(e Event) {
	e.Time = time.Now()
	h.outcomes.count(&e)
	if h.log.Enabled(context.Background(), slog.LevelDebug) {
		h.log.Debug(string(e.Kind), slog.String("peer", string(e.ID)), slog.String("address", e.Address),
			slog.Bool("inbound", e.Inbound), slog.Duration("after", e.Duration), slog.Any("reason", e.Reason))
	}
	h.events.mu.Lock()
	defer h.events.mu.Unlock()
	for w := range h.events.watchers {
		select {
		case w <- e:
		default:
		}
	}
}

// Events returns the events from now on. The channel is closed when ctx or the host ends. A watcher that lags by more
// than 256 events loses some. At most 64 watchers are served: a further one gets a closed channel.
func (h *Host) Events(ctx context.Context) <-chan Event {
	w := make(chan Event, eventBuffer)
	h.events.mu.Lock()
	defer h.events.mu.Unlock()
	if h.events.closed || len(h.events.watchers) >= maxEventStream {
		close(w)
		return w
	}
	if h.events.watchers == nil {
		h.events.watchers = map[chan Event]struct{}{}
	}
	h.events.watchers[w] = struct{}{}
	context.AfterFunc(ctx, func() { h.events.drop(w) })
	return w
}

func (e *eventHub) drop(w chan Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.watchers[w]; ok {
		delete(e.watchers, w)
		close(w)
	}
}

func (e *eventHub) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for w := range e.watchers {
		delete(e.watchers, w)
		close(w)
	}
}
