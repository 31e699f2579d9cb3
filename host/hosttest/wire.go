package hosttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/comet"
	"github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Speaks are the wires of a node, in order of preference.
func (n *Node) Speaks() []string {
	if n.net.o.Speaks != nil {
		return n.net.o.Speaks(n)
	}
	return []string{transport.WireComet}
}

// wires are the wires of a node.
func (n *Node) wires() ([]handshake.Wire, error) {
	var out []handshake.Wire
	for _, name := range n.Speaks() {
		var w handshake.Wire
		var err error
		switch name {
		case transport.WireComet:
			w, err = n.comet()
		case transport.WireLibp2p:
			w, err = n.libp2p()
		default:
			err = fmt.Errorf("hosttest: there is no wire %q", name)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// identity signs for a node.
func (n *Node) identity() handshake.Identity {
	if n.net.o.Identity != nil {
		return n.net.o.Identity(n)
	}
	return n.Key
}

// libp2p is the libp2p wire of a node.
func (n *Node) libp2p() (handshake.Wire, error) {
	mux, err := yamux.New(yamux.Config{})
	if err != nil {
		return nil, err
	}
	security, err := n.security()
	if err != nil {
		return nil, err
	}
	n.proofs = security
	return libp2p.New(libp2p.Config{Identity: n.identity(), Securities: []handshake.Security{security},
		Muxers: []muxer.StreamMuxer{mux}, Logger: n.net.o.Logger.With(slog.String("node", n.Name))})
}

// security is what secures the libp2p wire of a node.
func (n *Node) security() (handshake.Security, error) {
	switch o := &n.net.o; {
	case o.Plain:
		return plainSecurity{}, nil
	case o.Security == "" || o.Security == "noise":
		return noise.New(), nil
	case o.Security == "tls":
		return tls.New(tls.Config{}), nil
	default:
		return nil, fmt.Errorf("hosttest: there is no security %q", o.Security)
	}
}

// comet is the comet wire of a node.
func (n *Node) comet() (handshake.Wire, error) {
	cfg := n.net.o.Mconn
	if n.net.o.Plain {
		return comet.New(comet.Config{
			Identity: n.identity(),
			Secure: func(ctx context.Context, raw net.Conn, id handshake.Identity, early []byte,
				check func(handshake.PublicKey) error) (comet.Secured, error) {
				if err := plainHandshake(ctx, raw, id, early, check); err != nil {
					return comet.Secured{}, err
				}
				return comet.Secured{Reader: raw,
					Mux: func(side muxer.Side, channels []muxer.Channel) (muxer.Session, error) {
						return mconn.New(mconn.Plain(raw), side, channels, cfg)
					}}, nil
			},
		})
	}
	return comet.New(comet.Config{
		Identity: n.identity(),
		Secure: func(ctx context.Context, conn net.Conn, id handshake.Identity, early []byte,
			check func(handshake.PublicKey) error) (comet.Secured, error) {
			c, err := secretconn.Handshake(ctx, conn, id, secretconn.Options{CheckKey: check, EarlyData: early})
			if err != nil {
				return comet.Secured{}, err
			}
			return comet.Secured{Reader: c, Binding: c.Binding,
				Mux: func(side muxer.Side, channels []muxer.Channel) (muxer.Session, error) {
					return mconn.New(c, side, channels, cfg)
				}}, nil
		},
	})
}

// plainStart is how dialers of the comet wire begin.
const plainStart = 0x22

// plainHandshake exchanges keys. Both ends write before they read, which the buffer of a connection in memory allows.
func plainHandshake(ctx context.Context, raw net.Conn, id handshake.Identity, early []byte,
	check func(handshake.PublicKey) error) error {
	own, err := id.PublicKey(ctx)
	if err != nil {
		return err
	}
	hello := append([]byte{plainStart}, own.Raw()...)
	if _, err := raw.Write(append(hello, early...)); err != nil {
		return err
	}
	theirs := make([]byte, 1+handshake.Ed25519KeySize)
	if _, err := io.ReadFull(raw, theirs); err != nil {
		return err
	}
	if theirs[0] != plainStart {
		return errors.New("hosttest: the remote does not speak the plain form of the comet wire")
	}
	key, err := handshake.NewEd25519Key(theirs[1:])
	if err != nil {
		return err
	}
	return check(key)
}

// plainSecurity is to the libp2p wire what plainHandshake is to the comet wire.
type plainSecurity struct{}

func (plainSecurity) Name() string     { return "plain" }
func (plainSecurity) Protocol() string { return "/hosttest/plain" }

// Keep implements handshake.Security.
func (plainSecurity) Keep(context.Context, handshake.Identity) {}

// Secure implements handshake.Security.
func (plainSecurity) Secure(ctx context.Context, conn net.Conn, s handshake.Securing) (handshake.SecureConn, error) {
	own, err := s.Identity.PublicKey(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(own.Raw()); err != nil {
		return nil, err
	}
	theirs := make([]byte, handshake.Ed25519KeySize)
	if _, err := io.ReadFull(conn, theirs); err != nil {
		return nil, err
	}
	key, err := handshake.NewEd25519Key(theirs)
	if err != nil {
		return nil, err
	}
	if err := s.CheckKey(key); err != nil {
		return nil, err
	}
	return &plainSecureConn{conn}, nil
}

type plainSecureConn struct{ net.Conn }

func (*plainSecureConn) Muxer() string { return "" }
