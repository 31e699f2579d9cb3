package noise

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
)

// Writes that do not wait arrive in order with the others; a connection that cannot be written so is not.
func TestWriteNow(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		a, b := memPipe()
		x, y := securedPair(t, a, b)
		if x.WriteNow(nil) || x.WriteNow([]byte("x")) {
			t.Error("a connection that may wait is written without")
		}
		x.Close()
		y.Close()
	})
	dialer, listener := handshaketest.TCPPair(t)
	end := &nowConn{Conn: dialer}
	x, y := securedPair(t, end, listener)
	var want []byte
	for i := range 100 {
		p := bytes.Repeat([]byte{byte(i)}, i*3+1)
		end.unwilling = i%5 == 4
		if ok := x.WriteNow(p); ok == end.unwilling {
			t.Fatalf("write %d: %v", i, ok)
		} else if !ok || i%7 == 3 {
			if !ok {
				end.unwilling = false
			}
			if _, err := x.Write(p); err != nil {
				t.Fatal(err)
			}
			if ok {
				want = append(want, p...)
			}
		}
		want = append(want, p...)
	}
	if x.WriteNow(make([]byte, 1<<20)) {
		t.Error("a long write")
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(y, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v, or other bytes", err)
	}
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
