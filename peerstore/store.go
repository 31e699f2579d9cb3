// Package peerstore says what a store of known peers is: the whole of it in memory for speed, persisted behind.
//
// The in-memory engine (Book: the ordered index, selection and bans) lives here and is shared; peerstore/memory is it alone, peerstore/badger
// adds write-behind persistence. Both pass peerstore/storetest.
package peerstore

import (
	"context"
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/defence"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Store holds all peers that we know. In-memory calls return copies and no errors; all methods may be called
// concurrently; none calls back under its lock except Update's fn, which must not call the store.
type Store interface {
	// Add learns an address from source. Its node id must be set. It reports whether anything new was learned: false for a
	// known address (whose LastHeard is refreshed if it is older than 10 minutes), and for one that a bound (MaxPeers, MaxAddresses), a quarantine or
	// a ban refuses (these two not for a trusted peer or a configured address).
	Add(addr transport.Address, source Source, now time.Time) bool
	// Get returns a copy of what is known of a peer.
	Get(id transport.NodeID) (Record, bool)
	// Update changes a known peer under the store's lock and reindexes it in O(log n). It does nothing and returns false for an
	// unknown id: an event on an unknown id never inserts a peer. fn must be quick and must not call the store; the record is fn's only until it returns.
	Update(id transport.NodeID, fn func(*Record)) bool
	// SetBusy sets Record.Busy of a known peer, for less work than Update; false for an unknown id.
	SetBusy(id transport.NodeID, busy bool) bool
	// Ensure is Update that inserts a record first, for configured peers and for inbound peers that have proven their key. It also goes
	// beyond MaxPeers for a trusted record.
	Ensure(id transport.NodeID, now time.Time, fn func(*Record))
	// Remove forgets a peer.
	Remove(id transport.NodeID) bool

	// Next chooses a peer that may be dialed at now: one with an address whose NotBefore has passed, as q asks. Trusted peers come
	// first. The others come from the tried and the new table, half and half while both have some, at random, weighted by how lately they worked
	// and how often dials failed since; those with an unusual port seldom, those that cannot be routed last. It leaves banned ones out, and never
	// scans the peers that are not due.
	Next(now time.Time, q Query) (Record, bool)
	// Feeler chooses a peer for a short dial that only tests an address: first a tried peer whose place another one claims that worked (it keeps the place if
	// it answers, and loses it if it does not, or is not tested for a while); else one of the new table. The dial is reported like any other, with Update.
	Feeler(now time.Time, q Query) (Record, bool)
	// Groups tells the network group of addresses, as the store does it.
	Groups() *Groups
	// NextDue tells when the earliest peer that is not due yet (and not busy, see Record.Busy) becomes due.
	NextDue(now time.Time) (time.Time, bool)
	// Advertise returns up to limit addresses that may be told to others: verified ones (dialed with success) first, never one
	// of a private, quarantined or banned peer. Of a peer that can be dialed over several wires or transports it is one address of each (as far as they are as
	// good as the first), one behind the other. skip, unless nil, leaves peers out: it is
	// called with an address of each, without a lock.
	Advertise(limit int, now time.Time, skip func(transport.Address) bool) []transport.Address
	// Range calls fn with copies, best ranked first (score, failures and successes count roughly), until it returns false; it holds no lock while fn runs.
	Range(fn func(Record) bool)
	Stats() Stats

	// Ban refuses a target until the given time (the zero time: for ever). It is persisted before Ban returns; the error says that it could not be persisted,
	// and the ban holds in memory all the same.
	Ban(b Ban) error
	// Unban lifts a ban; false says that there was none.
	Unban(t Target) (bool, error)
	// Banned says whether an id or an IP (either may be empty) is banned, and by which entry.
	Banned(id transport.NodeID, ip netip.Addr, now time.Time) (Ban, bool)
	Bans(now time.Time) []Ban
	// ClearBans lets bans go that have ended at now; Stats counts them until then. They also go with time by themselves.
	ClearBans(now time.Time)

	// Meta keeps small named values with the store (anchors, keys). They are persisted with the next batch. A nil value removes the key. SetMeta ignores a value
	// beyond MaxMetaValue, a key beyond MaxMetaKey (or empty), and a new key beyond MaxMetaValues.
	Meta(key string) []byte
	SetMeta(key string, value []byte)

	// Flush returns when everything changed before the call is persisted.
	Flush(ctx context.Context) error
	// Run writes behind until ctx ends, then flushes and returns. A store in memory only waits for ctx.
	Run(ctx context.Context) error
	// Close flushes and releases files. Call it after Run has returned. It may be called twice.
	Close() error
}

// Limits bound a store. A zero field means its default.
type Limits struct {
	MaxPeers     int           // 0 means 100,000; at most 64 million; pruned by rank, never a trusted or busy peer
	MaxAddresses int           // per peer; 0 means 8
	Expiry       time.Duration // a learned peer unseen for so long goes; 0 means 30 days. One of which nothing answers goes earlier: after 10 failed dials if it never worked, after 20 and a week if it did
	MaxBans      int           // 0 means 200,000; beyond it the ban that ends first makes room
	// Without is for simulations in this module: nobody else can name its type. Zero switches nothing off.
	Without defence.Off
	Groups  *Groups // how addresses are grouped; nil knows no autonomous systems: see ReadGroups
}

// Source says who told us of an address.
type Source struct {
	Kind string           // "config", "pex", "inbound", "dns", "file", ...; at most 16 bytes, longer is cut
	From transport.NodeID // the peer that told us; may be empty
	IP   netip.Addr       // the IP at which that peer is linked to us; the zero Addr when there is none. What it tells of private networks is kept only if it is in one
}

// SourceConfig is the Source.Kind of addresses that the operator configured. No ban or quarantine keeps them from being learned (but they are
// not dialed as long as it holds).
const SourceConfig = "config"

// Stats are the store's totals.
type Stats struct{ Known, Tried, New, Banned int }

// Defaults of Limits.
const (
	DefaultMaxPeers     = 100_000
	DefaultMaxAddresses = 8
	DefaultExpiry       = 30 * 24 * time.Hour
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
	if l.Expiry <= 0 {
		l.Expiry = DefaultExpiry
	}
	if l.MaxBans <= 0 {
		l.MaxBans = DefaultMaxBans
	}
	return l
}
