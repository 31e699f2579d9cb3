package host

import (
	"context"
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// PeerConfig are the peer manager's settings. A zero field means its default.
type PeerConfig struct {
	Persistent    []transport.Address // trusted: always redialed
	Unconditional []transport.NodeID  // no limit refuses them
	Private       []transport.NodeID  // never advertised

	MaxOutbound int // links that we dialed, trusted ones apart; 0 means 8, negative means none
	MaxInbound  int // links that dialed us, trusted and unconditional ones apart; 0 means 40, negative means none
	MaxUpgrades int // MaxConnectedUpgrade: probes of better peers beyond full slots; 0 means 4, negative means none

	ConnectionsPerIP    int // links at once from one IP, loopback exempt; 0 means 8
	ConnectionsPerGroup int // links at once from one network group, loopback exempt; 0 means 32

	MinBackoff        time.Duration // after the first failure; 0 means 1 s
	MaxBackoff        time.Duration // 0 means 1 h
	MaxTrustedBackoff time.Duration // 0 means 1 min
	Quarantine        time.Duration // of a wrong-network peer; 0 means 6 h
	// StableAfter is how long a link must live to count as a success; 0 means 10 s.
	StableAfter time.Duration
}

// Dial is a decision to dial one peer.
type Dial struct {
	ID        transport.NodeID
	Addresses []transport.Address // those that are due, best first
	Upgrade   bool                // a probe beyond full slots
}

// Arrival tells the peer manager of a link that has passed its handshake.
type Arrival struct {
	ID     transport.NodeID
	Side   muxer.Side
	Dialed transport.Address // on the dialing side
	IP     netip.Addr        // of the remote; invalid where the transport has none
	// LinkID is the caller's name for the link, unique and not 0. It is what Disconnected and verdicts refer to.
	LinkID uint64
	// Acked says that the wire ended with an accept from both ends (see handshake.Link).
	Acked bool
}

// Verdict is what becomes of a new link of a peer that may already have one.
type Verdict struct {
	// Standby says that another link of the peer is preferred for now. The new one is to be kept open, unused, until Disconnected is called for
	// the other one (which promotes this one: see PeerManager.Disconnected) or until the grace is over (then it is a duplicate).
	Standby bool
	// Replaces is the link that the new one takes the place of; 0 for none. That one becomes the standby.
	Replaces uint64
}

// Eviction is a decision to end a link.
type Eviction struct {
	ID     transport.NodeID
	LinkID uint64
	Reason *DisconnectError
}

// Behaviour is what a service reports of a peer.
type Behaviour struct {
	// Points are added to the peer's score (negative ones count against it), saturating. They never evict on their own.
	Points int
	// Severity of a misdeed; Log for a good deed.
	Severity Severity
	Reason   string
}

// Severity says what a reported misdeed leads to.
type Severity uint8

const (
	Log        Severity = iota // nothing but a debug line
	Penalise                   // the score goes down
	Disconnect                 // and the link ends
	Ban                        // and the peer is banned for a day
)

// PeerManager decides whom to dial, accept, keep and evict. See newPeerManager.
type PeerManager struct{ _ context.Context }

// NewPeerManager makes a manager over store.
func NewPeerManager(self transport.NodeID, cfg PeerConfig, store peerstore.Store) (*PeerManager, error) {
	panic("unwritten")
}
