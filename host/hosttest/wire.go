package hosttest

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/comet"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
)

// wire is the comet wire of a node.
func (n *Node) wire() (handshake.Wire, error) {
	cfg := n.net.o.Mconn
	if n.net.o.Plain {
		return comet.New(comet.Config[*plainConn]{
			Identity: n.Key,
			Secure:   plainHandshake,
			Mux: func(c *plainConn, channels []muxer.Channel) (muxer.Session, error) {
				return mconn.New(c, channels, cfg)
			},
		})
	}
	return comet.New(comet.Config[*secretconn.Conn]{
		Identity: n.Key,
		Secure: func(ctx context.Context, conn net.Conn, id handshake.Identity, early []byte, check func(handshake.PublicKey) error) (*secretconn.Conn, error) {
			return secretconn.Handshake(ctx, conn, id, secretconn.Options{CheckKey: check, EarlyData: early})
		},
		Mux: func(c *secretconn.Conn, channels []muxer.Channel) (muxer.Session, error) {
			return mconn.New(c, channels, cfg)
		},
	})
}

// plainConn is a connection whose ends have told each other their keys, and believe it.
type plainConn struct {
	mconn.Conn
	raw net.Conn
	key handshake.PublicKey
}

// Read implements comet.SecureConn. It takes no more from the connection than it is asked for.
func (c *plainConn) Read(b []byte) (int, error) { return c.raw.Read(b) }

// RemotePublicKey implements comet.SecureConn.
func (c *plainConn) RemotePublicKey() handshake.PublicKey { return c.key }

// plainStart is how dialers of the comet wire begin.
const plainStart = 0x22

// plainHandshake exchanges keys. Both ends write before they read, which the buffer of a connection in memory allows.
func plainHandshake(ctx context.Context, raw net.Conn, id handshake.Identity, early []byte, check func(handshake.PublicKey) error) (*plainConn, error) {
	own, err := id.PublicKey(ctx)
	if err != nil {
		return nil, err
	}
	hello := append([]byte{plainStart}, own.Raw()...)
	if _, err := raw.Write(append(hello, early...)); err != nil {
		return nil, err
	}
	theirs := make([]byte, 1+handshake.Ed25519KeySize)
	if _, err := io.ReadFull(raw, theirs); err != nil {
		return nil, err
	}
	if theirs[0] != plainStart {
		return nil, errors.New("hosttest: the remote does not speak the plain form of the comet wire")
	}
	key, err := handshake.NewEd25519Key(theirs[1:])
	if err != nil {
		return nil, err
	}
	if err := check(key); err != nil {
		return nil, err
	}
	return &plainConn{Conn: mconn.Plain(raw), raw: raw, key: key}, nil
}
