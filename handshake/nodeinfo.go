package handshake

import (
	"github.com/switchyard-p2p/switchyard/transport"
)

// NodeInfo is what a node says of itself in the handshake, whichever the wire. Everything but ID is the remote's
// claim. Limits are those of CometBFT's DefaultNodeInfo (p2p/node_info.go).
type NodeInfo struct {
	ID       transport.NodeID
	PeerID   string // libp2p peer id, where known
	Moniker  string
	Network  string
	Version  string // of the software
	Channels []byte // ids of the channels that it serves
	// Protocols are stream protocols (libp2p), empty on comet.
	Protocols []string
	// Listen are the addresses at which it says it can be dialed, in the text form that its wire uses.
	Listen []string
	Height uint64

	// Protocol versions of CometBFT: P2P and App are ignored, Block must match.
	P2PVersion, BlockVersion, AppVersion uint64
	TxIndex, RPCAddress                  string
}

// Limits of a node info (CometBFT p2p/node_info.go).
const (
	MaxNodeInfoSize = 10240 // bytes on the wire
	MaxChannels     = 16
)

// Protocol versions that we state (CometBFT version/version.go).
const (
	P2PVersion   = 8
	BlockVersion = 11
)
