package secretconn

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// testKey returns the key that grows from a seed.
func testKey(seed byte) *handshake.NodeKey {
	return handshake.NewIdentity([handshake.SeedSize]byte{seed})
}

type shaken struct {
	conn *Conn
	err  error
}

// shakeBoth does both ends' handshakes at once.
func shakeBoth(a, b net.Conn, optsA, optsB Options) (ra, rb shaken) {
	done := make(chan shaken, 1)
	go func() {
		c, err := Handshake(context.Background(), b, testKey(2), optsB)
		if err != nil {
			b.Close()
		}
		done <- shaken{c, err}
	}()
	c, err := Handshake(context.Background(), a, testKey(1), optsA)
	if err != nil {
		a.Close()
	}
	return shaken{c, err}, <-done
}

// securedPair returns both ends of a secured connection over a and b.
func securedPair(tb testing.TB, a, b net.Conn) (*Conn, *Conn) {
	tb.Helper()
	ra, rb := shakeBoth(a, b, Options{}, Options{})
	if err := errors.Join(ra.err, rb.err); err != nil {
		tb.Fatal(err)
	}
	return ra.conn, rb.conn
}
