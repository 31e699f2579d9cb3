package quic

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// A socket that was opened for a dial serves the dials that follow, and is closed when it was not used for a while, or
// with the transport. Time is virtual.
func TestLinger(t *testing.T) {
	onInternet(t, Config{}, func(t *testing.T, n *internet) {
		tr := newTransport(t, Config{}, dialerKey)
		opened := func() *socket { // as reach does where there is a network
			s := n.socket(tr, netip.MustParseAddr("10.0.0.2"))
			s.dials = true
			return s
		}
		connect := func() *Conn {
			c, err := tr.Dial(context.Background(), n.l.Addr())
			if err != nil {
				t.Fatal(err)
			}
			far, ticket, err := n.l.Accept(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			ticket.Release()
			t.Cleanup(func() { far.Close() })
			return connOf(c)
		}
		isOpen := func(when string, want bool) {
			t.Helper()
			synctest.Wait()
			tr.mu.Lock()
			defer tr.mu.Unlock()
			if got := len(tr.sockets) == 1; got != want {
				t.Errorf("%s: the socket is open is %v, want %v", when, got, want)
			}
		}
		s := opened()
		c := connect()
		s.release()
		for range 3 {
			time.Sleep(2 * linger)
			isOpen("while a connection uses it", true)
			c.Close()
			time.Sleep(linger - time.Second)
			isOpen("soon after its last user", true)
			if c = connect(); c.socket != s {
				t.Error("another socket was used")
			}
		}
		c.Close()
		time.Sleep(linger)
		isOpen("when nobody uses it", false)

		opened().release()
		isOpen("at once", true)
		tr.Close()
		isOpen("when the transport was closed", false)
		s = opened()
		c = connect()
		s.release()
		tr.Close()
		isOpen("while a connection uses it", true)
		c.Close()
		isOpen("after that, when the transport was closed before", false)
	})
}
