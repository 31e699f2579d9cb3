package tls

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// testTimeout bounds what a broken test may take; no test waits for it.
const testTimeout = 20 * time.Second

var (
	dialerKey   = handshake.NewIdentity([handshake.SeedSize]byte{1})
	listenerKey = handshake.NewIdentity([handshake.SeedSize]byte{2})
	sides       = []muxer.Side{muxer.Dialer, muxer.Listener}
)

func memPipe() (dialer, listener *handshaketest.Conn) {
	return handshaketest.Pipe("/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/2")
}

// tcpPair returns both ends of a loopback connection, closed when the test ends.
func tcpPair(tb testing.TB) (a, b net.Conn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		tb.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		tb.Fatal(err)
	}
	for _, c := range []net.Conn{a, b} {
		tb.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(testTimeout))
	}
	return a, b
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
	go func() { done <- secure(New(), b, listening) }()
	ra = secure(New(), a, dialing)
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
