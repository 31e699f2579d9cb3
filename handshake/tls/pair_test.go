package tls

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/muxer"
)

var (
	dialerKey   = handshake.NewIdentity([handshake.SeedSize]byte{1})
	listenerKey = handshake.NewIdentity([handshake.SeedSize]byte{2})
	sides       = []muxer.Side{muxer.Dialer, muxer.Listener}
)

func memPipe() (dialer, listener *handshaketest.Conn) {
	return handshaketest.Pipe("/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/2")
}

func securing(side muxer.Side) handshake.Securing {
	id := dialerKey
	if side == muxer.Listener {
		id = listenerKey
	}
	return handshake.Securing{Side: side, Identity: id, Muxers: []string{"/yamux/1.0.0"}}
}

type shaken struct {
	conn *Conn
	err  error
}

// secure runs one end's handshake, and hangs up when it fails.
func secure(s *Security, conn net.Conn, opts handshake.Securing) shaken {
	c, err := s.Secure(context.Background(), conn, opts)
	if err != nil {
		conn.Close()
		return shaken{nil, err}
	}
	return shaken{c.(*Conn), nil}
}

// secureBoth runs both ends' handshakes at once.
func secureBoth(a, b net.Conn, dialing, listening handshake.Securing) (ra, rb shaken) {
	done := make(chan shaken, 1)
	go func() { done <- secure(New(Config{}), b, listening) }()
	ra = secure(New(Config{}), a, dialing)
	return ra, <-done
}

// securedPair returns both ends of a secured connection over a and b.
func securedPair(tb testing.TB, a, b net.Conn) (dialer, listener *Conn) {
	tb.Helper()
	ra, rb := secureBoth(a, b, securing(muxer.Dialer), securing(muxer.Listener))
	if err := errors.Join(ra.err, rb.err); err != nil {
		tb.Fatal(err)
	}
	return ra.conn, rb.conn
}
