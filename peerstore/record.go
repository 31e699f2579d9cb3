package peerstore

import (
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Record is what is known of one peer. A Record from the store is a copy: the caller owns it.
type Record struct {
	ID        transport.NodeID
	Addresses []AddressRecord // at most Limits.MaxAddresses
	FirstSeen time.Time

	Trusted       bool // persistent: always redialed, never pruned, forgotten or evicted
	Unconditional bool // no limit refuses it
	Private       bool // never advertised

	Score  int16     // saturates at MinScore and MaxScore
	Scored time.Time // when Score was last set: readers let it decay from then on
	Height uint64

	LastConnected    time.Time // when a link last became ready
	LastDisconnected time.Time
	// Failures in a row: links that ended at once, or dials of the best address; saturates at 65,535.
	Failures         uint32
	NotBefore        time.Time // no dial of any address before this
	Quarantined      time.Time // until then not dialed (wrong network, and the like); not advertised until it is zero
	QuarantineReason string    // cut to MaxReason bytes

	// Busy marks a peer that is being dialed or is connected: Next and NextDue leave it out, pruning keeps it. It is
	// not persisted.
	Busy bool

	// InTried reports whether the peer is in the tried table (see Table). The store alone sets it.
	InTried bool
}

// AddressRecord is what is known of one address of a peer.
type AddressRecord struct {
	Address     transport.Address
	Source      Source
	FirstHeard  time.Time
	LastHeard   time.Time
	LastDialed  time.Time
	LastSuccess time.Time
	Failures    uint32    // since the last success; saturates
	NotBefore   time.Time // no dial of this address before this
	LastError   string    // cut to MaxReason bytes
}

// How far NotBefore and Quarantined lie ahead at most when a store is opened. What lies further ahead, as a wrong clock
// leaves it, is cut. When the clock of a running store is set back, what waits goes on waiting for as long as before.
const (
	LongestBackoff    = time.Hour
	LongestQuarantine = 6 * time.Hour
)

// Bounds of Score.
const (
	MinScore = -100
	MaxScore = 100
)

// Bounds of texts, in bytes. Store cuts longer ones; it refuses a longer id.
const (
	MaxID         = 128 // Record.ID; transport.ParseNodeID returns at most 59
	MaxSourceKind = 16  // Source.Kind
	MaxReason     = 128 // AddressRecord.LastError and Record.QuarantineReason
	MaxBanReason  = 256 // Ban.Reason
)

// Tried reports whether an address of the peer has worked.
func (r *Record) Tried() bool {
	for i := range r.Addresses {
		if !r.Addresses[i].LastSuccess.IsZero() {
			return true
		}
	}
	return false
}

// Target is what a ban names: exactly one of its fields is set. A single IP is a Prefix of full length.
type Target struct {
	ID     transport.NodeID
	Prefix netip.Prefix
}

// Ban refuses a target.
type Ban struct {
	Target Target
	Since  time.Time
	Until  time.Time // zero: forever
	Reason string    // cut to MaxBanReason bytes
}

// Begun returns the ban with its beginning not after now: one of a clock that was ahead holds for as long as it was to.
func (b Ban) Begun(now time.Time) Ban {
	if b.Since.After(now) {
		if !b.Until.IsZero() {
			b.Until = now.Add(b.Until.Sub(b.Since))
		}
		b.Since = now
	}
	return b
}
