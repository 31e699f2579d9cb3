package peerstore

import "github.com/switchyard-p2p/switchyard/transport"

// Table names the parts of the book that learned peers are in.
type Table uint8

const (
	Any   Table = iota // both tables, and trusted peers, which are outside of them
	New                // peers that we were told of
	Tried              // peers that were dialed with success
)

// Query says which peer Next is to choose. The zero Query takes whoever is due. Its functions are called without a lock; they may call the store.
type Query struct {
	// Skip leaves peers out; nil leaves out none.
	Skip func(transport.NodeID) bool
	// Avoid names network groups (see Group) of which a learned peer is taken only when no other is due: those that hold an outbound peer. It is asked for the group of
	// the peer's best address that is due. nil avoids none.
	Avoid func(Group) bool
	// Table limits the choice to one table; trusted peers are then left out.
	Table Table
	// Reserve marks the peer that is chosen as Busy in the same step, so that nobody else chooses it meanwhile: whoever does not want it after all calls SetBusy.
	Reserve bool
	// Room is memory for Record.Addresses, which is used if it is large enough: the caller must be done with the record before he uses it again. nil: new memory.
	Room []AddressRecord
}
