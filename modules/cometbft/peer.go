package cometbft

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cometbft/cometbft/libs/service"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cosmos/gogoproto/proto"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// sendTimeout is how long Send waits for room, as CometBFT's connections do (p2p/conn/connection.go).
const sendTimeout = 10 * time.Second

// peer is a p2p.Peer over one peering of the host. The Switch starts and stops it.
type peer struct {
	service.BaseService
	yard     *yard
	peering  *host.Peering
	id       transport.NodeID
	info     p2p.DefaultNodeInfo
	outbound bool
	socket   p2p.NetAddress         // of the connection
	said     func() *p2p.NetAddress // where it says that it listens, resolved once; nil if that is nowhere

	begun    chan struct{} // closed when the Switch has started the peer
	closed   chan struct{} // closed when the Switch has stopped or refused it
	closing  sync.Once
	data     sync.Map
	count    peerCount
	unlisted atomic.Bool // the Switch could not remove it
}

var _ p2p.Peer = (*peer)(nil)

// introduce is called by the host with each peering, before its first message is handed out. It gives the peer to the
// Switch, and returns once the reactors know it.
func (y *yard) introduce(link *host.Peering) {
	p := y.newPeer(link)
	if len(p.info.Channels) == 0 { // a guest that has just started: identify tells what it had a moment ago
		link.Disconnect(muxer.CodeIncompatible, "it serves no channel yet")
		return
	}
	if !y.switchIsFree(p) {
		return
	}
	taken := y.peers.add(p)
	y.serving.Go(p.watch) // ends with the peering, at the latest with the host
	if !taken {
		select {
		case y.peers.accept <- p:
		case <-link.Done():
			p.closing.Do(func() { close(p.closed) })
			return
		case <-y.closing:
			return
		}
	}
	select {
	case <-p.begun:
	case <-p.closed:
	case <-link.Done():
	case <-y.closing:
	}
}

// switchIsFree waits until the Switch has forgotten the peer's last peering, whose end it may still be working on: the
// Switch has one peer of an id. It reports false if that takes longer than the new one lives.
func (y *yard) switchIsFree(p *peer) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for y.sw.Peers().Has(p.ID()) {
		select {
		case <-tick.C:
		case <-p.peering.Done():
			return false
		case <-y.closing:
			return false
		}
	}
	return true
}

func (y *yard) newPeer(link *host.Peering) *peer {
	info := link.Info()
	p := &peer{yard: y, peering: link, id: link.ID(), outbound: !info.Inbound, info: nodeInfo(&info, y.info),
		socket: socketOf(&info), begun: make(chan struct{}), closed: make(chan struct{})}
	p.said = sync.OnceValue(func() *p2p.NetAddress {
		at, err := p.info.NetAddress()
		if err != nil {
			return nil
		}
		return at
	})
	p.BaseService = *service.NewBaseService(nil, "Peer", p)
	return p
}

// OnStart implements service.Service.
func (p *peer) OnStart() error {
	close(p.begun)
	return nil
}

// OnStop implements service.Service: the link ends.
func (p *peer) OnStop() {
	if !p.yard.sw.IsRunning() {
		p.close(muxer.CodeShuttingDown, "the node stops")
		return
	}
	p.close(muxer.CodeRequested, "the node has stopped this peer")
}

// close ends the link. The first call counts.
func (p *peer) close(code muxer.Code, reason string) {
	p.closing.Do(func() { close(p.closed) })
	p.peering.Disconnect(code, reason)
}

// ending reports whether the link ends or has ended.
func (p *peer) ending() bool {
	select {
	case <-p.closed:
		return true
	case <-p.peering.Done():
		return true
	default:
		return false
	}
}

// watch waits for the end of the link and tells the Switch, unless the Switch has ended it.
func (p *peer) watch() {
	<-p.peering.Done()
	p.yard.peers.remove(p)
	var reason any = "the link has ended"
	if why := p.peering.Reason(); why != nil {
		reason = why
	}
	select { // the Switch is starting a peer that it was given
	case <-p.begun:
		p.yard.sw.StopPeerForError(p, reason)
	case <-p.closed:
	case <-p.yard.closing:
	}
}

func (p *peer) String() string {
	direction := "in"
	if p.outbound {
		direction = "out"
	}
	return fmt.Sprintf("Peer{%v %v %s}", p.socket.DialString(), p.id, direction)
}

// FlushStop implements p2p.Peer: the link ends after what is queued was sent. The peer itself stops when the Switch
// stops it.
func (p *peer) FlushStop() {
	p.peering.Disconnect(muxer.CodeRequested, "the node has flushed and stopped this peer")
}

// CloseConn implements p2p.Peer: watch tells the Switch of the end.
func (p *peer) CloseConn() error {
	p.peering.Disconnect(muxer.CodeRequested, "the node has closed this link")
	return nil
}

// ID implements p2p.Peer.
func (p *peer) ID() p2p.ID { return p2p.ID(p.id) }

// RemoteIP implements p2p.Peer.
func (p *peer) RemoteIP() net.IP { return p.socket.IP }

// RemoteAddr implements p2p.Peer.
func (p *peer) RemoteAddr() net.Addr { return &net.TCPAddr{IP: p.socket.IP, Port: int(p.socket.Port)} }

// SocketAddr implements p2p.Peer.
func (p *peer) SocketAddr() *p2p.NetAddress {
	at := p.socket
	return &at
}

// IsOutbound implements p2p.Peer.
func (p *peer) IsOutbound() bool { return p.outbound }

// IsPersistent implements p2p.Peer: whether the Switch knows the address that we dialed, or at which the peer says that
// it listens, as a persistent one.
func (p *peer) IsPersistent() bool {
	if p.outbound {
		return p.yard.sw.IsPeerPersistent(&p.socket)
	}
	said := p.said()
	return said != nil && p.yard.sw.IsPeerPersistent(said)
}

// NodeInfo implements p2p.Peer.
func (p *peer) NodeInfo() p2p.NodeInfo { return p.info }

// Send implements p2p.Peer.
func (p *peer) Send(e p2p.Envelope) bool {
	return p.send(e, func(c *host.Channel, msg []byte) bool {
		ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
		defer cancel()
		return p.peering.Send(ctx, c, msg) == nil
	})
}

// TrySend implements p2p.Peer. It waits with large answers, see isAnswer, as long as the peer is up.
func (p *peer) TrySend(e p2p.Envelope) bool {
	return p.send(e, func(c *host.Channel, msg []byte) bool {
		if isAnswer(e.ChannelID, len(msg)) {
			return p.peering.Send(context.Background(), c, msg) == nil
		}
		return p.peering.TrySend(c, msg)
	})
}

// wrapper is a message that travels within another one (CometBFT p2p/types.go, in 1.0 types/).
type wrapper interface {
	proto.Message
	Wrap() proto.Message
}

func (p *peer) send(e p2p.Envelope, send func(*host.Channel, []byte) bool) bool {
	c := p.yard.channels[e.ChannelID]
	if c == nil || !p.IsRunning() {
		return false
	}
	label := labelOf(e.Message)
	msg := e.Message
	if w, ok := msg.(wrapper); ok {
		msg = w.Wrap()
	}
	b, err := proto.Marshal(msg)
	if err != nil {
		p.Logger.Error("marshaling message to send", "error", err)
		return false
	}
	if !send(c.Channel, b) {
		return false
	}
	p.yard.countSent(p, e.ChannelID, label, len(b))
	return true
}

// Get implements p2p.Peer.
func (p *peer) Get(key string) any {
	v, _ := p.data.Load(key)
	return v
}

// Set implements p2p.Peer.
func (p *peer) Set(key string, v any) { p.data.Store(key, v) }

// SetRemovalFailed implements p2p.Peer.
func (p *peer) SetRemovalFailed() { p.unlisted.Store(true) }

// GetRemovalFailed implements p2p.Peer.
func (p *peer) GetRemovalFailed() bool { return p.unlisted.Load() }

// split returns the entries of a list as config.toml has them: separated by commas, with blanks around.
func split(list string) []string {
	var out []string
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}
