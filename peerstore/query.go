package peerstore

import "github.com/switchyard-p2p/switchyard/transport"

// Table names a part of the store that learned peers are in.
type Table uint8

const (
	Any   Table = iota // both tables, and trusted peers, which are in neither
	New                // peers that others reported
	Tried              // peers that were dialed with success
)

// Query says which peer Next chooses. The zero Query takes any due peer. Next calls its functions without a lock; they
// may call the store.
type Query struct {
	// Skip leaves peers out; nil leaves out none.
	Skip func(transport.NodeID) bool
	// Avoid names network groups, such as those of the outbound peers. Next takes a learned peer of an avoided group
	// only when no other is due. It asks for the group of the peer's best due address. nil avoids none.
	Avoid func(Group) bool
	// Links is how many outbound links there are. Without one, nine of ten learned peers are tried ones while there are
	// any; with each link, up to 8, one less.
	Links int
	// Table limits the choice to one table, and so leaves trusted peers out.
	Table Table
	// Reserve sets Record.Busy of the chosen peer in the same step, so that no other caller chooses it. A caller that
	// does not want the peer after all calls SetBusy.
	Reserve bool
	// Room is memory for Record.Addresses, used if it is large enough: the caller must have finished with the record
	// before it passes the same memory again. nil allocates.
	Room []AddressRecord
}
