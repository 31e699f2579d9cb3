package handshake

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/switchyard-p2p/switchyard/muxer"
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
	// Listen are the addresses at which it says it can be dialed: our own as multiaddrs; a remote's in the text form
	// that its wire uses (host:port on comet).
	Listen []string
	Height uint64
	// Wires are the names of the wires that it speaks at these addresses; empty where it did not say.
	Wires []string
	// Also are further multiaddrs at which a Switchyard node listens, where its wire has room for one address only
	// (comet). What we say there is made of our Listen.
	Also []string

	// Moves says, over comet, that the node moves links to a wire that it prefers, and lets the remote do so. Replaces,
	// over libp2p, is the Link.Binding of the comet link that the dialer's new one replaces; nil for none.
	Moves    bool
	Replaces []byte

	// Observed is our end of the connection as the remote sees it, where its wire tells (libp2p): a multiaddr in binary
	// form, of at most MaxObserved bytes, unchecked.
	Observed []byte

	// SignedRecord is the node's signed peer record in its envelope, where its wire tells (libp2p's identify); nil for
	// none. A remote's was verified: see OpenPeerRecord.
	SignedRecord []byte

	// Protocol versions of CometBFT: P2P and App are ignored, Block must match.
	P2PVersion, BlockVersion, AppVersion uint64
	TxIndex                              string // "on", "off" or "": whether it indexes transactions
	RPCAddress                           string // where it serves RPC

	// Guest reports whether the remote states no network, versions, moniker and channels: a plain libp2p
	// peer. These are not compared then; gates and the peer manager decide about guests.
	Guest bool
}

// Limits of a node info (CometBFT p2p/node_info.go).
const (
	MaxNodeInfoSize = 10240 // bytes on the wire
	MaxChannels     = 16
	MaxObserved     = 64 // bytes; not CometBFT's
)

// Protocol versions that we state (CometBFT version/version.go).
const (
	P2PVersion   = 8
	BlockVersion = 11
)

// Validate returns what is wrong with a node info on its own, as a *Refusal with CodeInvalidInfo that names the field.
// ID and Listen are the wire's to check.
func (n *NodeInfo) Validate() error {
	switch {
	case n.Version != "" && !isText(n.Version):
		return invalid("version %.40q is not plain ASCII text", n.Version)
	case len(n.Channels) > MaxChannels:
		return invalid("channels: %d of them, at most %d are allowed", len(n.Channels), MaxChannels)
	case !n.Guest && !isText(n.Moniker), n.Moniker != "" && !isText(n.Moniker):
		return invalid("moniker %.40q is not plain, non-empty ASCII text", n.Moniker)
	case n.TxIndex != "" && n.TxIndex != "on" && n.TxIndex != "off":
		return invalid("tx_index %.40q is neither on nor off nor empty", n.TxIndex)
	case n.RPCAddress != "" && !isText(n.RPCAddress):
		return invalid("rpc_address %.40q is not plain ASCII text", n.RPCAddress)
	}
	for i, c := range n.Channels {
		if bytes.IndexByte(n.Channels[:i], c) >= 0 {
			return invalid("channels: 0x%02x is there twice", c)
		}
	}
	return nil
}

// CompatibleWith returns why we (n) refuse a remote with that node info, as a *Refusal: it must have our block protocol
// and network, and, when we have channels, one of them. What a Guest cannot say is not compared.
func (n *NodeInfo) CompatibleWith(remote *NodeInfo) error {
	switch {
	case remote.Guest:
		return nil
	case n.BlockVersion != remote.BlockVersion:
		return &Refusal{Code: muxer.CodeIncompatible, Stage: StageInfo,
			Reason: fmt.Sprintf("the remote has block protocol %d, we have %d", remote.BlockVersion, n.BlockVersion)}
	case n.Network != remote.Network:
		return &Refusal{Code: muxer.CodeWrongNetwork, Stage: StageInfo,
			Reason: fmt.Sprintf("the remote is of network %.60q, we are of %.60q", remote.Network, n.Network)}
	case len(n.Channels) == 0:
		return nil
	}
	for _, c := range n.Channels {
		if bytes.IndexByte(remote.Channels, c) >= 0 {
			return nil
		}
	}
	return &Refusal{Code: muxer.CodeIncompatible, Stage: StageInfo,
		Reason: fmt.Sprintf("no common channel: the remote has %s, we have %s", named(remote.Channels),
			named(n.Channels))}
}

// named writes channels for people.
func named(channels []byte) string {
	if len(channels) == 0 {
		return "none"
	}
	return fmt.Sprintf("0x%x", cut(channels))
}

func invalid(format string, args ...any) error {
	return &Refusal{Code: muxer.CodeInvalidInfo, Stage: StageInfo, Reason: "node info: " + fmt.Sprintf(format, args...)}
}

// isText reports whether s is printable ASCII and more than spaces.
func isText(s string) bool {
	for i := range len(s) {
		if s[i] < 32 || s[i] > 126 {
			return false
		}
	}
	return strings.Trim(s, " ") != ""
}

// cut keeps a list of channels short enough for an error.
func cut(channels []byte) []byte { return channels[:min(len(channels), MaxChannels)] }
