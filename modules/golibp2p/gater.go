package golibp2p

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// Gate makes a gate of a Switchyard host (host.Config.Gates) of a connection gater: it asks InterceptAccept about
// connections that come in, and InterceptSecured about all. The option Gater asks the rest; NewHost sets both.
func Gate(gater connmgr.ConnectionGater) handshake.Gate {
	refusal := &handshake.Refusal{Code: muxer.CodeFiltered, Reason: "a connection gater said no"}
	return func(v handshake.Visitor) error {
		direction := network.DirInbound
		if v.Side == muxer.Dialer {
			direction = network.DirOutbound
		}
		switch {
		case v.At == handshake.AtAccept && v.Side == muxer.Listener:
			if !gater.InterceptAccept(ends{v.Remote}) {
				return refusal
			}
		case v.At == handshake.AtKey:
			p, err := peer.Decode(v.Key.PeerID())
			if err != nil {
				return fmt.Errorf("peer id: %w", err)
			}
			if !gater.InterceptSecured(direction, p, ends{v.Remote}) {
				return refusal
			}
		}
		return nil
	}
}

// ends are the ends of a connection that is being made. Ours is not known to gates.
type ends struct{ remote ma.Multiaddr }

func (e ends) LocalMultiaddr() ma.Multiaddr  { return unknownAddr }
func (e ends) RemoteMultiaddr() ma.Multiaddr { return e.remote }

// unknownAddr stands for an address that is not known.
var unknownAddr = ma.StringCast("/ip4/0.0.0.0")
