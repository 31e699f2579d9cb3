package suites

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	gotransport "github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// ourTransport is a transport of ours, with a security and a muxer where it moves bytes, as go-libp2p sees one.
type ourTransport struct {
	transport.Transport
	protocols []int
	key       *handshake.NodeKey
	security  handshake.Security // nil where the transport secures
	muxer     muxer.StreamMuxer  // likewise
}

var _ gotransport.Transport = (*ourTransport)(nil)

func (t *ourTransport) Protocols() []int { return t.protocols }
func (*ourTransport) Proxy() bool        { return false }

// id returns the peer id of a key.
func id(key handshake.PublicKey) (peer.ID, error) { return peer.Decode(key.PeerID()) }

func (t *ourTransport) Dial(ctx context.Context, to ma.Multiaddr, want peer.ID) (gotransport.CapableConn, error) {
	raw, err := t.Transport.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	return t.upgrade(ctx, raw, muxer.Dialer, want)
}

func (t *ourTransport) Listen(at ma.Multiaddr) (gotransport.Listener, error) {
	l, err := t.Transport.Listen(context.Background(), at, nil)
	if err != nil {
		return nil, err
	}
	return &ourListener{l, t}, nil
}

// upgrade makes a connection with streams of a raw one, or closes it. It takes any remote where want is "".
func (t *ourTransport) upgrade(
	ctx context.Context, raw transport.Conn, side muxer.Side, want peer.ID,
) (c *ourConn, err error) {
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			_ = raw.Close()
		}
	}()
	c = &ourConn{transport: t, local: raw.LocalMultiaddr(), remote: raw.RemoteMultiaddr()}
	c.state.Transport = t.Name()
	if secured, ok := raw.(*handshake.SecuredConn); ok {
		c.muxed = newMuxed(secured.Streams)
		c.state.Security = "/tls/1.0.0"
		return c, c.checkKey(secured.RemoteKey, want)
	}
	bytes, ok := raw.(transport.ByteConn)
	if !ok {
		return nil, fmt.Errorf("a connection of type %T", raw)
	}
	if err := agree(bytes, side, t.security.Protocol()); err != nil {
		return nil, err
	}
	secured, err := t.security.Secure(ctx, bytes, handshake.Securing{
		Side: side, Identity: t.key, Muxers: []string{t.muxer.Protocol()},
		CheckKey: func(k handshake.PublicKey) error { return c.checkKey(k, want) },
	})
	if err != nil {
		return nil, err
	}
	if c.state.UsedEarlyMuxerNegotiation = secured.Muxer() != ""; !c.state.UsedEarlyMuxerNegotiation {
		if err := agree(secured, side, t.muxer.Protocol()); err != nil {
			return nil, err
		}
	}
	streams, err := t.muxer.New(secured, side)
	if err != nil {
		return nil, err
	}
	c.state.Security, c.state.StreamMultiplexer = protocol.ID(t.security.Protocol()), protocol.ID(t.muxer.Protocol())
	c.muxed = newMuxed(streams)
	return c, nil
}

// agree agrees on a protocol by multistream-select.
func agree(conn net.Conn, side muxer.Side, protocol string) error {
	if side == muxer.Dialer {
		_, err := multistream.Select(conn, []string{protocol})
		return err
	}
	_, pending, err := multistream.Answer(conn, func(p string) bool { return p == protocol })
	if err == nil {
		_, err = conn.Write(pending)
	}
	return err
}

// ourListener upgrades what arrives.
type ourListener struct {
	transport.Listener
	t *ourTransport
}

func (l *ourListener) Accept() (gotransport.CapableConn, error) {
	for {
		raw, _, err := l.Listener.Accept(context.Background())
		if errors.Is(err, transport.ErrListenerClosed) {
			return nil, gotransport.ErrListenerClosed
		} else if err != nil {
			return nil, err
		}
		if c, err := l.t.upgrade(context.Background(), raw, muxer.Listener, ""); err == nil {
			return c, nil
		}
	}
}

func (l *ourListener) Multiaddr() ma.Multiaddr { return l.Listener.Addr() }

func (l *ourListener) Addr() net.Addr {
	addr := l.Listener.Addr()
	if quic := ma.StringCast("/quic-v1"); slices.ContainsFunc(addr, func(c ma.Component) bool {
		return c.Code() == ma.P_QUIC_V1
	}) {
		addr = addr.Decapsulate(quic)
	}
	a, _ := manet.ToNetAddr(addr)
	return a
}

// ourConn is a connection of ours.
type ourConn struct {
	*muxed
	transport     *ourTransport
	local, remote ma.Multiaddr
	key           crypto.PubKey // the remote's
	id            peer.ID
	state         network.ConnectionState
}

var _ gotransport.CapableConn = (*ourConn)(nil)

// checkKey takes the remote's key, if it is that of want.
func (c *ourConn) checkKey(key handshake.PublicKey, want peer.ID) (err error) {
	if c.id, err = id(key); err != nil {
		return err
	}
	if want != "" && c.id != want {
		return fmt.Errorf("reached %s, not %s", c.id, want)
	}
	c.key, err = crypto.UnmarshalPublicKey(key.AppendProto(nil))
	return err
}

func (c *ourConn) LocalPeer() peer.ID {
	own, _ := id(c.transport.key.Public())
	return own
}

func (c *ourConn) RemotePeer() peer.ID                { return c.id }
func (c *ourConn) RemotePublicKey() crypto.PubKey     { return c.key }
func (c *ourConn) ConnState() network.ConnectionState { return c.state }
func (c *ourConn) LocalMultiaddr() ma.Multiaddr       { return c.local }
func (c *ourConn) RemoteMultiaddr() ma.Multiaddr      { return c.remote }
func (c *ourConn) Scope() network.ConnScope           { return &network.NullScope{} }
func (c *ourConn) Transport() gotransport.Transport   { return c.transport }
