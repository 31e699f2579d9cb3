package handshaketest

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/switchyard-p2p/switchyard/transport"
)

// PromptConn is a secured connection that can be written without waiting.
type PromptConn interface {
	net.Conn
	transport.PromptConn
}

// WriteNow checks WriteNow of a security's connections: what is written so arrives in order with the rest, long messages are not taken, and a connection over one that may
// wait takes nothing. secured secures both ends of a connection.
func WriteNow(t *testing.T, secured func(dialer, listener net.Conn) (PromptConn, PromptConn)) {
	t.Run("over one that may wait", func(t *testing.T) {
		x, y := secured(Pipe("/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/2"))
		if x.WriteNow(nil) || x.WriteNow([]byte("x")) {
			t.Error("it was taken")
		}
		x.Close()
		y.Close()
	})
	t.Run("over TCP", func(t *testing.T) {
		dialer, listener := TCPPair(t)
		end := &nowConn{Conn: dialer}
		x, y := secured(end, listener)
		var want []byte
		for i := range 100 {
			p := bytes.Repeat([]byte{byte(i)}, i*3+1)
			end.unwilling = i%5 == 4
			taken := x.WriteNow(p)
			if taken == end.unwilling {
				t.Fatalf("write %d: %v", i, taken)
			}
			if taken {
				want = append(want, p...)
			}
			end.unwilling = false
			if !taken || i%7 == 3 { // by the other way, too
				if _, err := x.Write(p); err != nil {
					t.Fatal(err)
				}
				want = append(want, p...)
			}
		}
		if x.WriteNow(make([]byte, 1<<20)) {
			t.Error("a long message was taken")
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(y, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v, or other bytes", err)
		}
	})
}

// nowConn takes what is written without waiting, if it is willing.
type nowConn struct {
	net.Conn
	unwilling bool
}

func (c *nowConn) WriteNow(p []byte) bool {
	if c.unwilling {
		return false
	}
	if len(p) == 0 {
		return true
	}
	_, err := c.Conn.Write(p)
	return err == nil
}
