package golibp2p

import (
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// resources is a resource manager that refuses nothing: the limits are those of the Switchyard host, which refuses
// before a connection or a stream gets here. It counts connections and streams when it is asked; the memory that
// programs reserve is not counted.
type resources struct {
	network.NullResourceManager
	t *connTable
}

var _ network.ResourceManager = (*resources)(nil)

// counted is a scope that shows counts.
type counted struct {
	network.NullScope
	stat     network.ScopeStat
	peer     peer.ID
	protocol protocol.ID
}

func (s *counted) Stat() network.ScopeStat { return s.stat }
func (s *counted) Peer() peer.ID           { return s.peer }
func (s *counted) Protocol() protocol.ID   { return s.protocol }

// add counts one more in a direction.
func add(in, out *int, d network.Direction) {
	if d == network.DirInbound {
		*in++
	} else {
		*out++
	}
}

// count counts the connections for which conns says so, and of all connections the streams for which streams does.
func (r *resources) count(conns func(network.Conn) bool, streams func(network.Stream) bool) (s network.ScopeStat) {
	for _, c := range r.t.Conns() {
		if conns(c) {
			add(&s.NumConnsInbound, &s.NumConnsOutbound, c.Stat().Direction)
		}
		for _, st := range c.GetStreams() {
			if streams(st) {
				add(&s.NumStreamsInbound, &s.NumStreamsOutbound, st.Stat().Direction)
			}
		}
	}
	return s
}

func (r *resources) ViewSystem(f func(network.ResourceScope) error) error {
	return f(&counted{stat: r.count(func(network.Conn) bool { return true },
		func(network.Stream) bool { return true })})
}

func (r *resources) ViewProtocol(p protocol.ID, f func(network.ProtocolScope) error) error {
	return f(&counted{protocol: p, stat: r.count(func(network.Conn) bool { return false },
		func(s network.Stream) bool { return s.Protocol() == p })})
}

func (r *resources) ViewPeer(p peer.ID, f func(network.PeerScope) error) error {
	return f(&counted{peer: p, stat: r.count(func(c network.Conn) bool { return c.RemotePeer() == p },
		func(s network.Stream) bool { return s.Conn().RemotePeer() == p })})
}
