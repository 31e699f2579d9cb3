package golibp2p

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// conn is a peering as a go-libp2p connection.
type conn struct {
	t             *connTable
	p             *host.Peering
	node          transport.NodeID
	remote        peer.ID
	key           pubKey
	local, far    ma.Multiaddr
	state         network.ConnectionState
	direction     network.Direction
	opened        time.Time
	scope         network.ConnManagementScope
	ready         bool // notifiees have heard of it; connTable.mu guards this
	lastStream    atomic.Uint64
	told          sync.Mutex // held while notifiees hear of it, so that they hear of the end afterwards
	mu            sync.Mutex // guards what follows
	streams       map[*stream]struct{}
	closed, ended bool // by us; in any way
}

var _ network.Conn = (*conn)(nil)

func newConn(t *connTable, p *host.Peering, info *host.PeerInfo) (*conn, error) {
	remote, err := peer.Decode(info.PeerID)
	if err != nil {
		return nil, fmt.Errorf("peer id %q: %w", info.PeerID, err)
	}
	c := &conn{t: t, p: p, node: info.ID, remote: remote, direction: network.DirOutbound, opened: info.Connected,
		streams: map[*stream]struct{}{}}
	if info.Inbound {
		c.direction = network.DirInbound
	}
	if c.key, err = publicKey(info.Key); err != nil {
		return nil, err
	}
	if c.local, c.far = info.LocalAddr, info.RemoteAddr; c.local == nil {
		c.local = unknownAddr
	}
	if c.far == nil {
		c.far = unknownAddr
	}
	c.state = stateOf(info)
	if c.scope, err = t.a.resources.OpenConnection(c.direction, true, c.far); err != nil {
		return nil, err
	}
	if err = c.scope.SetPeer(remote); err != nil {
		c.scope.Done()
		return nil, err
	}
	return c, nil
}

// stateOf names what secures and muxes a connection as go-libp2p does.
func stateOf(info *host.PeerInfo) network.ConnectionState {
	if info.Transport == "quic" {
		return network.ConnectionState{Transport: "quic-v1"}
	}
	s := network.ConnectionState{Transport: info.Transport}
	switch info.Security {
	case "noise":
		s.Security = "/noise"
	case "tls":
		s.Security = "/tls/1.0.0"
	default:
		s.Security = protocol.ID(info.Security)
	}
	if info.Muxer == "yamux" {
		s.StreamMultiplexer = "/yamux/1.0.0"
	} else {
		s.StreamMultiplexer = protocol.ID(info.Muxer)
	}
	return s
}

// awaitEnd waits for the end of the peering.
func (c *conn) awaitEnd() {
	<-c.p.Done()
	c.end()
}

// end takes the connection out of the table and tells of that, once.
func (c *conn) end() {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.ended = true
	c.mu.Unlock()
	last := c.t.remove(c)
	tell := func() {
		c.told.Lock()
		defer c.told.Unlock()
		if last {
			c.t.a.forgot(c)
			c.t.a.events.connectedness(c.remote, c.t.Connectedness(c.remote))
		}
		c.t.notifyAll(func(n network.Notifiee) { n.Disconnected(c.t, c) })
		c.scope.Done()
	}
	// a notifiee that closes the connection must not wait for itself
	c.t.a.spawn(tell)
}

// Close ends the connection. It does not wait for the notifiees.
func (c *conn) Close() error { return c.CloseWithError(0) }

// CloseWithError is Close. Switchyard's peers learn that it was asked for; code does not travel. Streams end here at
// once, and with the connection at the remote: one that ended before would look like a failure of its own.
func (c *conn) CloseWithError(network.ConnErrorCode) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	streams := make([]*stream, 0, len(c.streams))
	for s := range c.streams {
		streams = append(streams, s)
	}
	c.mu.Unlock()
	c.end()
	c.p.Disconnect(muxer.CodeRequested, "")
	for _, s := range streams {
		_ = s.under.SetDeadline(time.Unix(1, 0))
		s.end()
	}
	return nil
}

// wasClosed reports whether we have closed the connection.
func (c *conn) wasClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *conn) IsClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// ID names the connection within this run.
func (c *conn) ID() string { return fmt.Sprintf("%.10s-%d", c.remote.String(), c.p.Number()) }

func (c *conn) String() string {
	return fmt.Sprintf("<golibp2p.Conn[%s] %s (%s) <-> %s (%s)>", c.state.Transport, c.local, c.t.a.self, c.far,
		c.remote)
}

func (c *conn) LocalPeer() peer.ID                 { return c.t.a.self }
func (c *conn) RemotePeer() peer.ID                { return c.remote }
func (c *conn) RemotePublicKey() pubKey            { return c.key }
func (c *conn) ConnState() network.ConnectionState { return c.state }
func (c *conn) LocalMultiaddr() ma.Multiaddr       { return c.local }
func (c *conn) RemoteMultiaddr() ma.Multiaddr      { return c.far }
func (c *conn) Scope() network.ConnScope           { return c.scope }

// As finds the Switchyard peering beneath the connection: target is a **host.Peering.
func (c *conn) As(target any) bool {
	p, ok := target.(**host.Peering)
	if ok {
		*p = c.p
	}
	return ok
}

func (c *conn) Stat() network.ConnStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return network.ConnStats{Stats: network.Stats{Direction: c.direction, Opened: c.opened}, NumStreams: len(c.streams)}
}

func (c *conn) GetStreams() []network.Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]network.Stream, 0, len(c.streams))
	for s := range c.streams {
		out = append(out, s)
	}
	return out
}

// NewStream opens a stream over which the caller negotiates the protocol, as in go-libp2p. SetProtocol only labels it.
func (c *conn) NewStream(ctx context.Context) (network.Stream, error) {
	if c.IsClosed() {
		return nil, swarm.ErrConnClosed
	}
	under, err := c.t.a.h.OpenStream(ctx, c.node, "")
	if err != nil {
		return nil, fmt.Errorf("failed to open stream: %w", err)
	}
	return c.add(under, "", network.DirOutbound)
}

// open opens a stream and chooses one of the protocols.
func (c *conn) open(ctx context.Context, pids []protocol.ID) (*stream, error) {
	if c.IsClosed() {
		return nil, swarm.ErrConnClosed
	}
	a := c.t.a
	known, err := a.store.FirstSupportedProtocol(c.remote, pids...)
	if err != nil {
		return nil, err
	}
	offer := protocol.ConvertToStrings(pids)
	if known != "" {
		offer = []string{string(known)}
	}
	under, err := a.h.OpenStream(ctx, c.node, offer...)
	if err != nil {
		return nil, fmt.Errorf("failed to open stream: %w", err)
	}
	if known == "" {
		if err := negotiate(ctx, under); err != nil {
			_ = under.ResetWith(muxer.ResetCode(network.StreamProtocolNegotiationFailed))
			return nil, fmt.Errorf("failed to negotiate protocol: %w", streamError(err, pids))
		}
		known = protocol.ID(under.Protocol())
		_ = a.store.AddProtocols(c.remote, known) // not critical
	}
	return c.add(under, known, network.DirOutbound)
}

// negotiate waits for the remote's choice of a protocol.
func negotiate(ctx context.Context, s muxer.Stream) error {
	stop := context.AfterFunc(ctx, func() { _ = s.SetReadDeadline(time.Unix(1, 0)) })
	_, err := s.Read(nil)
	if !stop() && err != nil {
		return errors.Join(ctx.Err(), err)
	}
	return err
}

// add counts a stream in. If it fails it has reset the stream.
func (c *conn) add(under muxer.Stream, pid protocol.ID, dir network.Direction) (*stream, error) {
	scope, err := c.t.a.resources.OpenStream(c.remote, dir)
	if err == nil && pid != "" {
		if err = scope.SetProtocol(pid); err != nil {
			scope.Done()
		}
	}
	if err != nil {
		_ = under.ResetWith(muxer.ResetCode(network.StreamResourceLimitExceeded))
		return nil, err
	}
	s := &stream{under: under, c: c, id: c.lastStream.Add(1), direction: dir, opened: time.Now(), scope: scope,
		done: make(chan struct{})}
	s.protocol.Store(&pid)
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.streams[s] = struct{}{}
	}
	c.mu.Unlock()
	if closed {
		_ = s.Reset()
		return nil, swarm.ErrConnClosed
	}
	return s, nil
}

func (c *conn) remove(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.streams, s)
}
