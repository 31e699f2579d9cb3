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

// A write arrives as one stream, sent with one write as long as it fits.
func TestRecordsOfAWriteAreSentTogether(t *testing.T) {
	x, y := handshaketest.TCPPair(t)
	under := &countedConn{Conn: x}
	dialer, listener := securedPair(t, under, y)
	for _, size := range []int{0, 1, 12, maxRecord, maxRecord + 1, 65472, 4 * maxRecord, 4*maxRecord + 21,
		9*maxRecord + 9} {
		want := bytes.Repeat([]byte{byte(size)}, size)
		got := make([]byte, size)
		read := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(listener, got)
			read <- err
		}()
		before := under.writes.Load()
		n, err := dialer.Write(want)
		if err := errors.Join(err, <-read); err != nil || n != size || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: wrote %d, %v", size, n, err)
		}
		if writes := under.writes.Load() - before; int(writes) > 1+size/(4*maxRecord+1) {
			t.Errorf("%d bytes: %d writes", size, writes)
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
