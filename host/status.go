package host

import (
	"net/netip"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// PeerInfo describes a peer whose link is up.
type PeerInfo struct {
	ID         transport.NodeID
	Peering    uint64              // see Peering.Number; 0: the link is not up
	LinkID     uint64              // the number of its link, which no other has
	PeerID     string              // libp2p form, where known
	Key        handshake.PublicKey // that it has proven, of any type
	Address    string              // where we dialed it, or where it came from
	IP         netip.Addr          // of the connection's remote end; not valid where the transport has none
	Port       uint16              // with IP
	LocalAddr  ma.Multiaddr        // our end of the connection; nil where the transport has none
	RemoteAddr ma.Multiaddr        // its other end
	Observed   string              // our end as the peer sees it, a multiaddr; "" over comet, or if it does not say
	Inbound    bool                // the peer dialed us; a move to another link does not change that
	Wire       string
	Transport  string
	Security   string
	Muxer      string
	Moniker    string
	Network    string
	Version    string
	Stages     []handshake.Stage // of the handshake
	Kept       peers.Kept        // why it keeps its link; Peers alone tells
	Channels   []byte            // that both ends serve
	Protocols  []string          // of streams that it serves; empty on comet
	Listen     []string          // the listen addresses that it claims
	// SignedRecord is the envelope of the signed peer record that a libp2p peer told with identify, verified
	// (handshake.OpenPeerRecord reads it); nil for none. Switchyard nodes tell theirs when it changes. It is shared.
	SignedRecord []byte
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

// ChannelTotals is what became of a channel's messages since the start, over all links.
type ChannelTotals struct {
	ID      byte
	Name    string
	Dropped uint64 // messages that found an inbox full
	Refused uint64 // messages that found a peer's send queue full, and were not waited for
}

// Channels returns the totals of the channels, in the order of their opening.
func (h *Host) Channels() []ChannelTotals {
	h.mu.Lock()
	channels := h.channels[:len(h.channels):len(h.channels)]
	h.mu.Unlock()
	out := make([]ChannelTotals, len(channels))
	for i, c := range channels {
		out[i] = ChannelTotals{ID: c.desc.ID, Name: c.desc.Name, Dropped: c.dropped.Load(), Refused: c.refused.Load()}
	}
	return out
}
