// Package peerstore is the contract of a store of known peers: all of them in memory for speed, persisted behind.
//
// The implementations share an engine, internal/book. peerstore/memory is the engine alone, peerstore/badger adds
// persistence. Both pass peerstore/storetest.
package peerstore

import (
	"context"
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Store holds all known peers. Calls in memory return copies and no errors. All methods may be called concurrently, and
// none calls back under its lock except Update and Ensure, whose fn must not call the store.
type Store interface {
	// Add learns an address from source. The address must name a node. Add reports whether it learned anything new. It
	// reports false for a known address (whose LastHeard it refreshes after 10 minutes), for one that a limit or a ban
	// refuses, and for one that leads nowhere (a multicast IP, or a private one that another network reports). Bans do
	// not refuse a trusted peer or a configured address.
	//
	// No source displaces a configured address, and an address that has worked is the last to go.
	Add(addr transport.Address, source Source, now time.Time) bool
	// Get returns a copy of what is known of a peer.
	Get(id transport.NodeID) (Record, bool)
	// Update changes a known peer under the store's lock. It does nothing and returns false for an unknown id: an event
	// on an unknown id never inserts a peer. fn must be quick and must not call the store; it may use the record only
	// until it returns.
	Update(id transport.NodeID, fn func(*Record)) bool
	// SetBusy sets Record.Busy of a known peer, for less work than Update. It returns false for an unknown id.
	SetBusy(id transport.NodeID, busy bool) bool
	// Ensure is Update that inserts an unknown peer first: a configured one, or an inbound one that has proven its key.
	// A trusted peer is inserted even beyond MaxPeers. Ensure does not wait for the disk, so that a start with many
	// configured peers is quick; Update does where a flag changes.
	Ensure(id transport.NodeID, now time.Time, fn func(*Record))
	// Remove forgets a peer.
	Remove(id transport.NodeID) bool

	// Next chooses a peer that may be dialed at now: one with an address whose NotBefore has passed, as q asks. Trusted
	// peers come first. Others come from the tried or the new table, by Query.Links, and from any network group at
	// random, weighted: each dial that has failed since the last success halves the weight, and so do a success that is
	// older than a day or a week, a week in which nobody reported a new peer, and 25 points of score less. New peers at
	// an unusual port come only when no other peer is due, unroutable ones after those, banned ones never. Next does
	// not scan the peers that are not due.
	Next(now time.Time, q Query) (Record, bool)
	// Feeler chooses a peer for a short dial that only tests an address. First comes a tried peer whose place another
	// working peer claims: it keeps the place if it answers, and loses it if it does not or is not tested for a while.
	// Else comes a peer of the new table. The caller reports the dial with Update, like any other.
	Feeler(now time.Time, q Query) (Record, bool)
	// Groups returns how the store maps addresses to network groups.
	Groups() *Groups
	// NextDue returns when the next peer becomes due that is neither due yet nor busy.
	NextDue(now time.Time) (time.Time, bool)
	// Advertise returns up to limit addresses that may be told to others: verified ones (dialed with success) first,
	// never one of a private, quarantined or banned peer. A peer that is reachable over several wires or transports
	// gets one address of each, one after the other, as far as they are as good as its first. skip, unless nil, leaves
	// peers out: Advertise calls it with an address of each, without a lock.
	Advertise(limit int, now time.Time, skip func(transport.Address) bool) []transport.Address
	// Range calls fn with copies of all peers, roughly the best ranked first, until fn returns false. It holds no lock
	// while fn runs.
	Range(fn func(Record) bool)
	Stats() Stats
	// Buckets returns how full the buckets of learned peers are.
	Buckets() Buckets

	// Ban refuses a target until the given time (the zero time: forever). The ban is persisted before Ban returns. If
	// it could not be, Ban returns an error and the ban holds in memory all the same.
	Ban(b Ban) error
	// Unban lifts a ban. It returns false if there was none.
	Unban(t Target) (bool, error)
	// Banned returns the ban of an id or an IP (either may be empty), if there is one.
	Banned(id transport.NodeID, ip netip.Addr, now time.Time) (Ban, bool)
	// Bans returns the bans that hold at now.
	Bans(now time.Time) []Ban
	// ClearBans forgets bans that have ended at now. They also go with time by themselves; Stats counts them until
	// then.
	ClearBans(now time.Time)

	// Meta returns a small named value that SetMeta keeps with the store, such as the anchors. SetMeta with a nil value
	// removes it. SetMeta ignores an empty key, and what is beyond MaxMetaKey, MaxMetaValue and MaxMetaValues.
	Meta(key string) []byte
	SetMeta(key string, value []byte)

	// Flush returns when everything that changed before the call is persisted.
	Flush(ctx context.Context) error
	// Run writes behind until ctx ends, then flushes and returns. A store in memory only waits for ctx.
	Run(ctx context.Context) error
	// Close flushes and releases files. Call it after Run has returned. It may be called twice.
	Close() error
}

// Bounds of the small named values.
const (
	MaxMetaKey    = 128      // bytes
	MaxMetaValue  = 64 << 10 // bytes
	MaxMetaValues = 1024
)

// Limits bound a store. A zero field means its default.
//
// Age alone never costs a peer its place. The store forgets a peer that does not answer: after 10 failed dials if it
// never worked, after 20 if it worked, but not within a week. A dial counts if another one worked since the peer's
// dial before it, in this run; so a node without a network forgets nobody. The store keeps 1,000 peers in each table,
// or a quarter of MaxPeers, whatever fails.
type Limits struct {
	// MaxPeers is how many peers the store keeps; 0 means 100,000. It prunes by rank, and never a trusted, configured
	// or busy peer.
	MaxPeers int
	// MaxAddresses bounds the addresses of one peer; 0 means 8. Configured ones may be more.
	MaxAddresses int
	// MaxBans bounds the bans; 0 means 200,000. Beyond it, the ban that ends first makes room.
	MaxBans int
	// Groups is how addresses are grouped; nil knows no autonomous systems. See ReadGroups.
	Groups *Groups
}

// Source says who reported an address.
type Source struct {
	Kind string           // "config", "pex", "inbound", "dns", "file", ...; cut to MaxSourceKind bytes
	From transport.NodeID // the reporting peer; may be empty
	// the IP at which that peer is linked to us; may be zero. A private address counts only from a peer in a private
	// network
	IP netip.Addr
}

// Kinds of sources that are the operator's configuration. The store learns configured addresses in spite of a ban (but
// does not dial them while it holds), and keeps them until it is opened again: then they are SourceOperator until they
// are added once more.
const (
	SourceConfig   = "config"
	SourceStatic   = "static" // the list of the static discovery
	SourceOperator = "operator"
)

// Configured reports whether the address is of the operator's configuration.
func (s *Source) Configured() bool { return s.Kind == SourceConfig || s.Kind == SourceStatic }

// Stats are the store's totals.
type Stats struct {
	Known, Tried, New, Banned int
	Forgotten                 uint64 // peers that did not answer, since the store was opened
	WriteErrors               uint64 // times that the disk did not take what was to be written, since then
	Failing                   string // why the store cannot write to the disk; "" while it can
}

// Buckets are the places of learned peers: how many of each bucket are taken. A source reaches few of them. Trusted,
// unconditional and configured peers need no place.
type Buckets struct {
	New, Tried []int
	Size       int // places of each
}

// Defaults of Limits.
const (
	DefaultMaxPeers     = 100_000
	DefaultMaxAddresses = 8
	DefaultMaxBans      = 200_000
)

// WithDefaults returns the limits with the defaults in place of zeros.
func (l Limits) WithDefaults() Limits {
	if l.MaxPeers <= 0 {
		l.MaxPeers = DefaultMaxPeers
	}
	if l.MaxAddresses <= 0 {
		l.MaxAddresses = DefaultMaxAddresses
	}
	if l.MaxBans <= 0 {
		l.MaxBans = DefaultMaxBans
	}
	return l
}
