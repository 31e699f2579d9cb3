package handshake

import (
	"errors"
	"log/slog"
	"net/netip"
	"runtime/debug"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Checkpoint is a place in the way of a connection at which a gate can refuse it.
type Checkpoint uint8

const (
	// a raw connection was accepted, or is about to be upgraded after a dial: only Remote is known
	AtAccept Checkpoint = iota
	AtKey               // the remote's key is proven: ID is known too
	AtInfo              // the remote's node info is known too
	// We are about to dial: Remote and ID are what the address says, IP is known unless a name is yet to be resolved.
	// Once it is, the gates are asked again, about each IP.
	AtDial
)

// Visitor is what is known of the remote at a checkpoint.
type Visitor struct {
	At     Checkpoint
	Side   muxer.Side
	Remote ma.Multiaddr
	IP     netip.Addr // of Remote; invalid where the transport has none
	Wire   string     // from AtKey on
	ID     transport.NodeID
	Key    PublicKey
	Info   *NodeInfo // at AtInfo only
}

// Gate decides at a checkpoint. A nil error lets the connection pass; a *Refusal says why not (any other error is
// wrapped in one with CodeFiltered). Gates are called concurrently, on the connection's goroutine (at AtAccept of an
// inbound connection: on the accept loop's), and must not block for long; AskingGate makes one that may. They do not
// keep Visitor.Info.
type Gate func(Visitor) error

// CheckDial asks the gates before an address is dialed. ip is that of the address, or what its host name resolved to;
// invalid if that is not known yet. Its errors are *Refusal.
func (u *Upgrader) CheckDial(addr transport.Address, ip netip.Addr) error {
	return u.ask(Visitor{At: AtDial, Side: muxer.Dialer, Remote: addr.Multiaddr(), IP: ip, ID: addr.ID()})
}

// ask asks the gates in order; the first that refuses decides.
func (u *Upgrader) ask(v Visitor) (err error) {
	defer func() {
		if r := recover(); r != nil {
			u.cfg.Logger.Error("a gate panicked", slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
			err = &Refusal{Code: muxer.CodeFiltered, Stage: stageOf(v.At), Reason: "a gate panicked"}
		}
	}()
	for _, gate := range u.cfg.Gates {
		err := gate(v)
		if err == nil {
			continue
		}
		var r *Refusal
		if !errors.As(err, &r) {
			return &Refusal{Code: muxer.CodeFiltered, Stage: stageOf(v.At), Reason: err.Error()}
		}
		mine := *r // a gate may return one and the same value to many
		if mine.Stage == "" {
			mine.Stage = stageOf(v.At)
		}
		return &mine
	}
	return nil
}

// stageOf returns the stage that a checkpoint ends.
func stageOf(at Checkpoint) string {
	switch at {
	case AtAccept, AtDial:
		return StageTransport
	case AtKey:
		return StageSecurity
	}
	return StageInfo
}
