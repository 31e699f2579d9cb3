// Package discovery says what a source of peers is. Sources are plug-ins: a package exports Config, Default() and
// New(Config, Env) (Source, error), and never imports a framework. Built in: discovery/pex and discovery/static.
package discovery

import (
	"context"
	"log/slog"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Source finds peers.
type Source interface {
	// Run looks for peers until ctx ends, and returns after its goroutines have. An error other than ctx's ends the node's start, or is
	// logged and the source restarted after a pause if it ran before.
	//
	// found takes an address, and the peer that told of it: "" where none did (a file, a name server, a multicast). The address book gives each source, and each
	// peer that tells, only its share. found may be called from several goroutines and may block: that is the backpressure.
	Run(ctx context.Context, n Network, found func(addr transport.Address, from transport.NodeID)) error
}

// Network is what a source may ask of its node. *host.Host implements it.
type Network interface {
	// Self is our node id.
	Self() transport.NodeID
	// SelfAddresses are the addresses at which we can be dialed, as far as we know.
	SelfAddresses() []transport.Address
	// Peers are the links that are up.
	Peers() []host.PeerInfo
	// Subscribe tells of peers that come and go, until ctx ends.
	Subscribe(ctx context.Context) *host.Subscription
	// Advertise chooses up to limit addresses to tell the peer to.
	Advertise(to transport.NodeID, limit int) []transport.Address
	// Report tells what a peer did, good or bad.
	Report(id transport.NodeID, b host.Behaviour)
	// Disconnect ends the link to a peer.
	Disconnect(id transport.NodeID, code muxer.Code, reason string)
	// NeedsPeers says whether the node would dial more peers than it knows of.
	NeedsPeers() bool
}

// Env is what a source gets when it is made, before the node runs.
type Env struct {
	Logger *slog.Logger
	// OpenChannel opens a channel of messages with peers. It works until the host runs.
	OpenChannel func(muxer.Channel) (*host.Channel, error)
	// Home is the node's folder, against which relative paths are read.
	Home string
}
