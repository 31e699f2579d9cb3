package hosttest

import (
	"context"
	"fmt"
	"net"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Injected is a connection to a node whose other end the test plays. It has what the checkpoint gives.
type Injected struct {
	Conn net.Conn        // AtAccept: raw; AtKey: secured
	Link *handshake.Link // AtInfo: the test calls Confirm, if there is one, and Session.Run

	raw transport.Conn
}

// Close ends the connection beneath, without a word.
func (i *Injected) Close() { _ = i.raw.Close() }

// Inject dials the node as another one, which does not run, and takes the connection past a checkpoint of the node:
// after AtAccept nothing is sent yet; after AtKey the keys are proven, over the first wire that as speaks; after AtInfo
// both have told their node info. info, unless nil, changes what is told. The node may refuse at each checkpoint, as it
// may any remote: then Inject fails, or the connection ends.
func (n *Node) Inject(ctx context.Context, at handshake.Checkpoint, as *Node, info func(*handshake.NodeInfo),
) (*Injected, error) {
	if as.Running() {
		return nil, fmt.Errorf("%s runs: it cannot be played", as.Name)
	}
	wire := as.Speaks()[0]
	addr := n.AddressOver(wire)
	raw, err := as.memory.Dial(ctx, addr.Multiaddr())
	if err != nil {
		return nil, err
	}
	in := &Injected{raw: raw}
	conn, ok := raw.(net.Conn)
	if !ok {
		in.Close()
		return nil, fmt.Errorf("a connection of type %T carries no bytes", raw)
	}
	in.Conn = conn
	switch at {
	case handshake.AtAccept:
		return in, nil
	case handshake.AtKey:
		in.Conn, err = as.secure(ctx, conn, wire, n)
	case handshake.AtInfo:
		in.Conn = nil
		in.Link, err = as.greet(ctx, raw, addr, info)
	default:
		err = fmt.Errorf("no connection is at checkpoint %d", at)
	}
	if err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// secure proves the keys of both ends on a connection that n has dialed.
func (n *Node) secure(ctx context.Context, conn net.Conn, wire string, to *Node) (net.Conn, error) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	check := func(key handshake.PublicKey) error {
		if key.NodeID() != to.ID {
			return fmt.Errorf("found %s, want %s", key.NodeID(), to.Name)
		}
		return nil
	}
	if wire == transport.WireComet {
		if n.net.o.Plain {
			return conn, plainHandshake(ctx, conn, n.Key, nil, check)
		}
		return secretconn.Handshake(ctx, conn, n.Key, secretconn.Options{CheckKey: check})
	}
	s, err := n.security()
	if err != nil {
		return nil, err
	}
	if _, err := multistream.Select(conn, []string{s.Protocol()}); err != nil {
		return nil, err
	}
	return s.Secure(ctx, conn, handshake.Securing{Side: muxer.Dialer, Identity: n.Key, Want: to.ID, CheckKey: check})
}

// greet does a whole handshake as a node would, up to its verdict.
func (n *Node) greet(ctx context.Context, raw transport.Conn, addr transport.Address,
	change func(*handshake.NodeInfo)) (*handshake.Link, error) {
	wires, err := n.wires()
	if err != nil {
		return nil, err
	}
	u, err := handshake.NewUpgrader(handshake.Config{
		Self: n.ID, Wires: wires, Logger: n.net.o.Logger,
		Channels: func() []muxer.Channel { return n.net.o.Channels },
		Local: func(transport.Conn) handshake.NodeInfo {
			own := handshake.NodeInfo{ID: n.ID, PeerID: n.Key.Public().PeerID(), Moniker: fmt.Sprintf("n%d", n.Index),
				Network: n.net.o.Network, Version: "hosttest", P2PVersion: handshake.P2PVersion,
				BlockVersion: handshake.BlockVersion, Wires: n.Speaks()}
			for _, c := range n.net.o.Channels {
				own.Channels = append(own.Channels, c.ID)
			}
			if change != nil {
				change(&own)
			}
			return own
		},
	})
	if err != nil {
		return nil, err
	}
	return u.Outbound(ctx, raw, addr, 0)
}
