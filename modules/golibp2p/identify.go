package golibp2p

import (
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host"
)

const (
	keyAgent = "AgentVersion" // of the peerstore, as go-libp2p's identify has it
	// maxKeptAddrs is how many addresses of a connected peer the peerstore is given, as in go-libp2p.
	maxKeptAddrs = 500
)

// learn puts what a peer says of itself into the peerstore.
func (a *adapter) learn(c *conn, info *host.PeerInfo) {
	if c.key != nil {
		_ = a.store.AddPubKey(c.remote, c.key)
	}
	_ = a.store.SetProtocols(c.remote, protocol.ConvertFromStrings(info.Protocols)...)
	_ = a.store.Put(c.remote, keyAgent, info.Version)
	// what it no longer says is forgotten
	a.store.UpdateAddrs(c.remote, peerstore.RecentlyConnectedAddrTTL, peerstore.TempAddrTTL)
	a.store.UpdateAddrs(c.remote, peerstore.ConnectedAddrTTL, peerstore.TempAddrTTL)
	a.store.AddAddrs(c.remote, addrsOf(c.remote, info.Listen), peerstore.ConnectedAddrTTL)
	a.store.UpdateAddrs(c.remote, peerstore.TempAddrTTL, 0)
}

// addrsOf reads the addresses that a peer claims.
func addrsOf(p peer.ID, texts []string) []ma.Multiaddr {
	out := make([]ma.Multiaddr, 0, len(texts))
	for _, text := range texts[:min(len(texts), maxKeptAddrs)] {
		m, err := ma.NewMultiaddr(text)
		if err != nil {
			continue
		}
		if where, id := peer.SplitAddr(m); where != nil && (id == "" || id == p) {
			out = append(out, where)
		}
	}
	return out
}

// forgot lets the addresses of a peer that has no connection any more grow old.
func (a *adapter) forgot(c *conn) {
	a.store.UpdateAddrs(c.remote, peerstore.ConnectedAddrTTL, peerstore.RecentlyConnectedAddrTTL)
}

// identified tells that the peer of a connection has been identified.
func (a *adapter) identified(c *conn, info *host.PeerInfo) {
	a.events.emit(event.EvtPeerIdentificationCompleted{
		Peer: c.remote, Conn: network.Conn(c), ListenAddrs: addrsOf(c.remote, info.Listen),
		Protocols: protocol.ConvertFromStrings(info.Protocols), AgentVersion: info.Version,
	})
}

// addressesChanged puts our addresses into the peerstore and tells of them.
func (a *adapter) addressesChanged() {
	addrs := a.Addrs()
	a.store.SetAddrs(a.self, addrs, peerstore.PermanentAddrTTL)
	e := event.EvtLocalAddressesUpdated{}
	for _, m := range addrs {
		e.Current = append(e.Current, event.UpdatedAddress{Address: m})
	}
	a.events.emit(e)
}

// endsOf returns the addresses of both ends of a connection.
func endsOf(a *adapter, info *host.PeerInfo) (local, remote ma.Multiaddr) {
	if m, err := ma.NewMultiaddr(info.Address); err == nil {
		remote, _ = peer.SplitAddr(m)
	}
	for _, m := range a.h.ListenAddrs() {
		_, err := m.ValueForProtocol(ma.P_UDP)
		if local == nil || (err == nil) == (info.Transport == "quic") {
			local = m
		}
	}
	if local == nil {
		local = ma.StringCast("/ip4/127.0.0.1/tcp/0")
	}
	if remote == nil {
		remote = local
	}
	return local, remote
}
