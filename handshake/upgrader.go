package handshake

import (
	"context"
	"log/slog"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Config is what an Upgrader needs. Wires, Local and Channels are required.
type Config struct {
	Wires []Wire // in order of preference
	// Local makes our node info for one connection. It must not block.
	Local func(transport.Conn) NodeInfo
	// Channels are the channels that sessions carry. Called once a connection.
	Channels func() []muxer.Channel
	Gates    []Gate
	Timeout  time.Duration // all stages together; 0 means 5 s
	Limits   Limits
	Logger   *slog.Logger // nil discards
}

// Limits bound what handshakes may cost. A zero field means its default.
type Limits struct {
	Handshakes      int // in flight at once, inbound; 0 means 512
	HandshakesPerIP int // in flight at once from one IP (an IPv6 /64 counts as one); 0 means 64
	AttemptsPerIP   int // new connections per 10 s from one IP; 0 means 200
}

// Upgrader turns raw connections into links.
type Upgrader struct{ cfg Config }

// NewUpgrader checks cfg and starts nothing.
func NewUpgrader(cfg Config) (*Upgrader, error) { return &Upgrader{cfg: cfg}, nil }

// Slot is a place in the inbound budgets.
type Slot struct{}

// Reserve takes a place in the inbound budgets for a raw connection, before anything is read from it: it applies the gates at
// AtAccept, the global and the per-IP budget, without blocking. A nil Slot comes with a *Refusal; the caller closes the connection.
func (u *Upgrader) Reserve(raw transport.Conn) (*Slot, error) { panic("unwritten") }

// Inbound does the listening side's handshake and gives the slot back. On an error the connection is closed.
func (u *Upgrader) Inbound(ctx context.Context, raw transport.Conn, slot *Slot) (*Link, error) {
	panic("unwritten")
}

// Outbound does the dialing side's handshake. transportTook is recorded as the first stage. On an error the connection is closed.
func (u *Upgrader) Outbound(ctx context.Context, raw transport.Conn, addr transport.Address, transportTook time.Duration) (*Link, error) {
	panic("unwritten")
}

// CheckKey passes the checkpoint after the remote's key is proven: it compares with Want, refuses ourselves, asks the gates.
func (a *Attempt) CheckKey(key PublicKey) error { panic("unwritten") }

// CheckInfo passes the checkpoint after the remote's node info is known.
func (a *Attempt) CheckInfo(key PublicKey, info *NodeInfo) error { panic("unwritten") }
