// Package host keeps a node connected: the peer manager decides, the router does, channels and streams are what services hold. It knows contracts
// only, never a plug-in.
package host

import (
	"context"
	"errors"
	"log/slog"

	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Config is what a host needs. Network, Identity and Store are required.
type Config struct {
	Network  string // a node of another network is refused
	Moniker  string // non-empty ASCII; "" means "switchyard"
	Version  string // of the software, told to peers
	Identity handshake.Identity
	Store    peerstore.Store

	Transports []transport.Transport // in order of preference
	Wires      []handshake.Wire      // in order of preference
	Gates      []handshake.Gate      // application filters, after the host's own

	Listen   []ma.Multiaddr // where to listen; empty only dials
	External []ma.Multiaddr // what to advertise instead

	Peers     PeerConfig
	Handshake handshake.Limits
	Limits    Limits
	Logger    *slog.Logger          // nil discards
	Metrics   prometheus.Registerer // nil keeps none
}

// Host is a node's connections and channels. New builds and checks, Run works.
type Host struct{}

// New checks cfg and builds a host; it listens and dials only in Run.
func New(ctx context.Context, cfg Config) (*Host, error) { return nil, errors.New("unwritten") }

// OpenChannel gives a service its channel. It fails with ErrStarted once Run was called, and for an id that is taken.
func (h *Host) OpenChannel(c muxer.Channel) (*Channel, error) { panic("unwritten") }

// Run listens, dials, accepts and moves messages until ctx ends; it returns after all its goroutines have.
func (h *Host) Run(ctx context.Context) error { panic("unwritten") }

// Listening is closed once every listen address is bound (or Run has failed).
func (h *Host) Listening() <-chan struct{} { panic("unwritten") }

// ListenAddrs are the addresses that are bound, with their real ports.
func (h *Host) ListenAddrs() []ma.Multiaddr { panic("unwritten") }

// PeerManager is the host's peer manager: Add, Ban, Peers, Scores, ...
func (h *Host) PeerManager() *PeerManager { panic("unwritten") }

// Self is our node id; PublicKey our key.
func (h *Host) Self() transport.NodeID         { panic("unwritten") }
func (h *Host) PublicKey() handshake.PublicKey { panic("unwritten") }

// SelfAddresses are the addresses at which we can be dialed, as far as we know.
func (h *Host) SelfAddresses() []transport.Address { panic("unwritten") }

// Peers are the links that are up, in order of node id.
func (h *Host) Peers() []PeerInfo { panic("unwritten") }

// Subscribe tells of peers that come and go, starting with those that are up, until ctx ends.
func (h *Host) Subscribe(ctx context.Context) *Subscription { panic("unwritten") }

// Advertise chooses up to limit addresses to tell the peer to.
func (h *Host) Advertise(to transport.NodeID, limit int) []transport.Address { panic("unwritten") }

// Report tells what a peer did, good or bad.
func (h *Host) Report(id transport.NodeID, b Behaviour) { panic("unwritten") }

// Disconnect ends the link to a peer.
func (h *Host) Disconnect(id transport.NodeID, code muxer.Code, reason string) { panic("unwritten") }

// NeedsPeers says whether the host would dial more peers than it knows of.
func (h *Host) NeedsPeers() bool { panic("unwritten") }

// Dial connects to an address now, whatever the slots say, and returns when the link is ready, or why not.
func (h *Host) Dial(ctx context.Context, addr transport.Address) (PeerInfo, error) {
	panic("unwritten")
}

// Events tells of everything that happens to connections: see Event.
func (h *Host) Events(ctx context.Context) <-chan Event { panic("unwritten") }
