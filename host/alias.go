package host

import "github.com/switchyard-p2p/switchyard/host/peers"

// What a service needs of package peers, so that it imports host alone.
type (
	// DisconnectError is why a link ended, or why it was refused.
	DisconnectError = peers.DisconnectError
	// Behaviour is what a service reports of a peer.
	Behaviour = peers.Behaviour
	// Severity is what a reported misdeed leads to.
	Severity = peers.Severity
	// PeerUpdate is the latest state of a peer.
	PeerUpdate = peers.Update
	// UpdateStatus is what an update tells.
	UpdateStatus = peers.UpdateStatus
	// Subscription delivers the latest state of each peer.
	Subscription = peers.Subscription
)

// The severities and the statuses of updates: see package peers.
const (
	Log        = peers.Log
	Penalise   = peers.Penalise
	Disconnect = peers.Disconnect
	Ban        = peers.Ban

	PeerUp   = peers.Up
	PeerDown = peers.Down
)
