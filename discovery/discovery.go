// Package discovery defines the contract of peer sources. A source is a plug-in: its package exports Config, Default()
// and New(Config, Env) (Source, error), and imports no framework. Built in are pex and static, and for lists that
// others keep dns, file, http and mdns. ParseList, Pause and the methods of Env are for sources of your own, too.
package discovery

import (
	"context"
	"log/slog"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Source finds peers.
type Source interface {
	// Run looks for peers until ctx ends, and returns after its goroutines have. If it fails right after the start, the
	// node's start fails; later the node logs the error and runs the source again after a pause.
	//
	// found takes an address and the peer that reported it, or "" for a file, a name server or a multicast. The peer
	// store gives each source, and each reporting peer, only a share of its room. found may be called concurrently. It
	// may block, which is the backpressure.
	Run(ctx context.Context, n Network, found func(addr transport.Address, from transport.NodeID)) error
}

// Network is what a source may ask of its node. *host.Host implements it.
type Network interface {
	// Self returns the node's id.
	Self() transport.NodeID
	// SelfAddresses returns the addresses at which the node can be dialed, as far as it knows them.
	SelfAddresses() []transport.Address
	// ListenAddrs returns the addresses that are bound, with their real ports; none before the node listens.
	ListenAddrs() []ma.Multiaddr
	// Peers returns the peers that are up.
	Peers() []host.PeerInfo
	// Subscribe reports peers that come up and go down, until ctx ends.
	Subscribe(ctx context.Context) *host.Subscription
	// Advertise chooses up to limit addresses to send to a peer.
	Advertise(to transport.NodeID, limit int) []transport.Address
	// Report records good or bad behaviour of a peer.
	Report(id transport.NodeID, b host.Behaviour)
	// Disconnect ends the link to a peer.
	Disconnect(id transport.NodeID, code muxer.Code, reason string)
	// NeedsPeers reports whether the node would dial more peers than it knows.
	NeedsPeers() bool
}

// Env is what a source gets when it is built, before the node runs.
type Env struct {
	Logger *slog.Logger
	// OpenChannel opens a channel to peers. Call it before the host runs.
	OpenChannel func(muxer.Channel) (*host.Channel, error)
	// CheckAddress returns why the node can never dial an address that somebody wrote; nil if it may. It may be nil.
	CheckAddress func(transport.Address) error
	// Home is the node's folder. Relative paths start there.
	Home string
}
