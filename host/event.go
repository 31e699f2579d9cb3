package host

import (
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Event is one thing that happened to a connection, for people and programs that watch a node.
type Event struct {
	Time     time.Time
	Kind     EventKind
	ID       transport.NodeID // may be empty
	Address  string
	Inbound  bool
	Stage    string           // of a failed dial or a refusal: where
	Reason   *DisconnectError // nil for Up
	Duration time.Duration    // of the dial or the handshake
}

// EventKind says what happened.
type EventKind string

const (
	EventUp         EventKind = "peer-up"
	EventDown       EventKind = "peer-down"
	EventDialFailed EventKind = "dial-failed"
	EventRefused    EventKind = "refused"
)
