package handshake

import (
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Checkpoint is a place in the way of a connection at which a gate can refuse it.
type Checkpoint uint8

const (
	AtAccept Checkpoint = iota // a raw connection was accepted, or is about to be upgraded after a dial: only Remote is known
	AtKey                      // the remote's key is proven: ID is known too
	AtInfo                     // the remote's node info is known too
)

// Visitor is what is known of the remote at a checkpoint.
type Visitor struct {
	At     Checkpoint
	Side   muxer.Side
	Remote ma.Multiaddr
	ID     transport.NodeID
	Key    PublicKey
	Info   *NodeInfo // at AtInfo only
}

// Gate decides at a checkpoint. A nil error lets the connection pass; a *Refusal says why not (any other error is
// wrapped in one with CodeFiltered). Gates are called on the connection's goroutine, concurrently, and must not block for long.
type Gate func(Visitor) error
