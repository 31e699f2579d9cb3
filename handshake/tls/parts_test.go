package tls

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
)

// countedConn counts what is written to it.
type countedConn struct {
	net.Conn
	writes atomic.Int32
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// Parts arrive as one stream. They are sent with one write as long as they fit, in records that are full but for the
// last.
func TestParts(t *testing.T) {
	x, y := handshaketest.TCPPair(t)
	under := &countedConn{Conn: x}
	dialer, listener := securedPair(t, under, y)
	for _, sizes := range [][]int{{0}, {1}, {12, 1}, {12, 65472}, {40, 12, 65472},
		{maxRecord, 5, maxRecord - 5, 2 * maxRecord}, {5, 3*maxRecord + 7, 9}} {
		var parts [][]byte
		for i, n := range sizes {
			parts = append(parts, bytes.Repeat([]byte{byte(i + 1)}, n))
		}
		want := bytes.Join(parts, nil)
		got := make([]byte, len(want))
		read := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(listener, got)
			read <- err
		}()
		before := under.writes.Load()
		n, err := dialer.WriteParts(parts...)
		if err := errors.Join(err, <-read); err != nil || n != len(want) || !bytes.Equal(got, want) {
			t.Errorf("%v: wrote %d of %d bytes, %v", sizes, n, len(want), err)
		}
		if writes := under.writes.Load() - before; writes > 1 && len(want) <= 4*maxRecord {
			t.Errorf("%v: %d writes", sizes, writes)
		}
	}
}

// Close sends no alert to a remote that has hung up.
func TestNoAlertBehindTheEnd(t *testing.T) {
	x, y := handshaketest.TCPPair(t)
	under := &countedConn{Conn: y}
	dialer, listener := securedPair(t, x, under)
	if err := dialer.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := listener.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	before := under.writes.Load()
	if err := listener.Close(); err != nil || under.writes.Load() != before {
		t.Errorf("%v, %d writes", err, under.writes.Load()-before)
	}
	if _, err := y.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection beneath is open: %v", err)
	}
}
