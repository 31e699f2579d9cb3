package golibp2p

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	keyAgent = "AgentVersion" // of the peerstore, as go-libp2p's identify has it
	// maxKeptAddrs is how many addresses of a connected peer the peerstore is given, as in go-libp2p.
	maxKeptAddrs = 500
	// addressPulse is how often our own addresses are looked at: interfaces come and go.
	addressPulse = 30 * time.Second
)

// nodeID returns the node id that a peer id has.
func nodeID(p peer.ID) (transport.NodeID, error) { return transport.ParseNodeID(p.String()) }

// learn puts what a peer says of itself into the peerstore. It returns what the peer's protocols were before.
func (a *adapter) learn(c *conn, info *host.PeerInfo) (before []protocol.ID) {
	before, _ = a.store.GetProtocols(c.remote)
	_ = a.store.AddPubKey(c.remote, c.key)
	_ = a.store.SetProtocols(c.remote, protocol.ConvertFromStrings(info.Protocols)...)
	_ = a.store.Put(c.remote, keyAgent, info.Version)
	// what it no longer says is forgotten
	a.store.UpdateAddrs(c.remote, peerstore.RecentlyConnectedAddrTTL, peerstore.TempAddrTTL)
	a.store.UpdateAddrs(c.remote, peerstore.ConnectedAddrTTL, peerstore.TempAddrTTL)
	addrs := addrsOf(c.remote, info.Listen)
	if record := certified(a.store, info); record != nil {
		addrs = record.Addrs[:min(len(record.Addrs), maxKeptAddrs)]
	}
	a.store.AddAddrs(c.remote, addrs, peerstore.ConnectedAddrTTL)
	a.store.UpdateAddrs(c.remote, peerstore.TempAddrTTL, 0)
	return before
}

// certified puts the signed record of a peer into the peerstore, and returns it; nil for none, and for one that
// is not valid.
func certified(store peerstore.Peerstore, info *host.PeerInfo) *peer.PeerRecord {
	envelope, record := recordOf(info)
	book, ok := peerstore.GetCertifiedAddrBook(store)
	if record == nil || !ok {
		return nil
	}
	if _, err := book.ConsumePeerRecord(envelope, peerstore.ConnectedAddrTTL); err != nil {
		return nil
	}
	return record
}

// recordOf reads the signed record of a peer; nil for none.
func recordOf(info *host.PeerInfo) (*record.Envelope, *peer.PeerRecord) {
	if info.SignedRecord == nil {
		return nil, nil
	}
	envelope, any, err := record.ConsumeEnvelope(info.SignedRecord, peer.PeerRecordEnvelopeDomain)
	if err != nil {
		return nil, nil
	}
	r, ok := any.(*peer.PeerRecord)
	if !ok || r.PeerID.String() != info.PeerID || !r.PeerID.MatchesPublicKey(envelope.PublicKey) {
		return nil, nil
	}
	return envelope, r
}

// relearn is learn for a peer that says something new, and tells of that.
func (a *adapter) relearn(c *conn, info *host.PeerInfo) {
	if c.IsClosed() {
		return
	}
	before, now := a.learn(c, info), protocol.ConvertFromStrings(info.Protocols)
	added := slices.DeleteFunc(slices.Clone(now), func(p protocol.ID) bool { return slices.Contains(before, p) })
	removed := slices.DeleteFunc(before, func(p protocol.ID) bool { return slices.Contains(now, p) })
	if len(added)+len(removed) > 0 {
		a.events.emit(event.EvtPeerProtocolsUpdated{Peer: c.remote, Added: added, Removed: removed})
	}
	a.identified(c, info)
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

// told tells the connection manager that a peer has its first connection, or lost its last.
func (a *adapter) told(p peer.ID) {
	if m, ok := a.manager.(*connManager); ok {
		m.told(p)
	}
}

// forgot lets the addresses of a peer that has no connection any more grow old.
func (a *adapter) forgot(c *conn) {
	a.store.UpdateAddrs(c.remote, peerstore.ConnectedAddrTTL, peerstore.RecentlyConnectedAddrTTL)
	a.told(c.remote)
}

// identified tells that the peer of a connection has been identified.
func (a *adapter) identified(c *conn, info *host.PeerInfo) {
	e := event.EvtPeerIdentificationCompleted{
		Peer: c.remote, Conn: network.Conn(c), ListenAddrs: addrsOf(c.remote, info.Listen),
		Protocols: protocol.ConvertFromStrings(info.Protocols), AgentVersion: info.Version,
	}
	e.SignedPeerRecord, _ = recordOf(info)
	if info.Observed != "" {
		e.ObservedAddr, _ = ma.NewMultiaddr(info.Observed)
	}
	a.events.emit(e)
}

// followAddresses looks at our addresses, and at whether others reach them, until Close.
func (a *adapter) followAddresses() {
	tick := time.NewTicker(addressPulse)
	defer tick.Stop()
	var told host.Reachability
	for {
		if now := a.h.Reach.Status(); now != told {
			told = now
			a.events.emit(event.EvtLocalReachabilityChanged{Reachability: reachability(now)})
		}
		select {
		case <-a.ctx.Done():
			return
		case <-tick.C:
			a.addressesChanged()
		}
	}
}

// reachability returns a reachability in go-libp2p's form.
func reachability(r host.Reachability) network.Reachability {
	switch r {
	case host.ReachabilityPublic:
		return network.ReachabilityPublic
	case host.ReachabilityPrivate:
		return network.ReachabilityPrivate
	}
	return network.ReachabilityUnknown
}

// addressesChanged puts our addresses into the peerstore, signed where we can, and tells of them if they are not those
// of the last time. One goroutine calls it.
func (a *adapter) addressesChanged() {
	addrs := a.Addrs()
	has := func(list []ma.Multiaddr) func(ma.Multiaddr) bool {
		return func(m ma.Multiaddr) bool { return ma.Contains(list, m) }
	}
	before := a.addrs
	if before != nil && len(before) == len(addrs) && !slices.ContainsFunc(addrs, func(m ma.Multiaddr) bool {
		return !has(before)(m)
	}) {
		return
	}
	a.addrs = slices.Clone(addrs)
	a.store.ClearAddrs(a.self)
	a.store.AddAddrs(a.self, addrs, peerstore.PermanentAddrTTL)
	e := event.EvtLocalAddressesUpdated{Diffs: true, SignedPeerRecord: a.sign(addrs)}
	for _, m := range addrs {
		action := event.Added
		if has(before)(m) {
			action = event.Maintained
		}
		e.Current = append(e.Current, event.UpdatedAddress{Address: m, Action: action})
	}
	for _, m := range before {
		if !has(addrs)(m) {
			e.Removed = append(e.Removed, event.UpdatedAddress{Address: m, Action: event.Removed})
		}
	}
	a.events.emit(e)
}

// sign makes a signed record of our addresses and keeps it in the peerstore. It returns nil if it cannot.
func (a *adapter) sign(addrs []ma.Multiaddr) *record.Envelope {
	book, ok := peerstore.GetCertifiedAddrBook(a.store)
	if !ok || !a.records {
		return nil
	}
	envelope, err := record.Seal(peer.PeerRecordFromAddrInfo(peer.AddrInfo{ID: a.self, Addrs: addrs}),
		a.store.PrivKey(a.self))
	if err == nil {
		_, err = book.ConsumePeerRecord(envelope, peerstore.PermanentAddrTTL)
	}
	if err != nil {
		a.log.Warn("no signed record of our addresses", "error", err)
		return nil
	}
	return envelope
}
