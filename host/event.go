package host

import (
	"context"
	"log/slog"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Event is one thing that happened to a connection, for people and programs that watch a node.
type Event struct {
	Seq      uint64 // its number: see Journal
	Time     time.Time
	Kind     EventKind
	ID       transport.NodeID // may be empty
	Address  string           // for EventBan and EventUnban, the target
	Inbound  bool
	Stage    string           // of a failed dial or a refusal
	Reason   *DisconnectError // nil for EventUp and EventChanged
	Duration time.Duration    // of the dial or the handshake; of the link for EventDown
	// Stages are those of the handshake, as far as it came: of a failure, the last one is where it failed.
	Stages []handshake.Stage
	Source string // of a dial: where the address is from, as in peerstore.Source
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
	// EventChanged: a peer that is up says other protocols or addresses than before. Host.Peer has them.
	EventChanged EventKind = "peer-changed"
	EventBan     EventKind = "ban" // Reason says until when, and why
	EventUnban   EventKind = "unban"
)

// emit writes down what happened: into the journal, the counters, and at level debug the log.
func (h *Host) emit(e Event) {
	e.Time = time.Now()
	if e.Kind == EventRefused || e.Kind == EventDialFailed {
		h.outcomes.count(&e)
	}
	if h.log.Enabled(context.Background(), slog.LevelDebug) {
		h.log.Debug(string(e.Kind), slog.String("peer", string(e.ID)), slog.String("address", e.Address),
			slog.Bool("inbound", e.Inbound), slog.Duration("after", e.Duration), slog.Any("reason", e.Reason))
	}
	h.journal.Add(e)
}

// Events returns the events from now on, as Journal.Events does.
func (h *Host) Events(ctx context.Context) <-chan Event { return h.journal.Events(ctx) }

// Journal returns what has happened lately.
func (h *Host) Journal() *Journal { return &h.journal }
