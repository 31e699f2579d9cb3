package host

import (
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// PeerInfo describes a peer whose link is up.
type PeerInfo struct {
	ID        transport.NodeID
	Peering   uint64     // see Peering.Number; 0: the link is not up
	PeerID    string     // libp2p form, where known
	Address   string     // where we dialed it, or where it came from
	IP        netip.Addr // of the connection's remote end; not valid where the transport has none
	Port      uint16     // with IP
	Inbound   bool       // the peer dialed us; a move to another link does not change that
	Wire      string
	Transport string
	Security  string
	Muxer     string
	Moniker   string
	Network   string
	Version   string
	Channels  []byte   // that both ends serve
	Protocols []string // of streams that it serves; empty on comet
	Listen    []string // the listen addresses that it claims
	// Remote is all that the peer claims, as it last said so: the versions, all its channels, tx_index, RPC address.
	// Its lists are shared: do not change them.
	Remote    handshake.NodeInfo
	Trusted   bool
	Guest     bool // a plain libp2p peer, which names no network
	Score     int
	Connected time.Time // when the link became ready
	Stats     muxer.Stats
	// SendRate and ReceiveRate are bytes a second of the connection, decayed: what was 10 s ago counts 1/e.
	SendRate, ReceiveRate float64
	PerChannel            []ChannelInfo // of the channels that the link carries
	InboxDropped          uint64        // messages dropped by full inboxes
	ReceiveQueued         int64         // bytes waiting in its inboxes
}
