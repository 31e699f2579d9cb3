package libp2p

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
)

// counted is a connection that counts what is written to it.
type counted struct {
	*handshaketest.Conn
	writes atomic.Int32
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// A set-up is as few writes as can be, and one round trip behind the security.
func TestWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, l := ends()
		d.security, l.security = plain{yamux.Protocol}, plain{yamux.Protocol}
		x, y := rawPair()
		dc, lc := &counted{Conn: x}, &counted{Conn: y}
		u := l.upgrader(t)
		slot, err := u.Reserve(lc)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		links := make(chan *handshake.Link, 2)
		go func() {
			link, err := u.Inbound(t.Context(), lc, slot)
			if err == nil {
				err = link.Agree(t.Context(), nil)
			}
			if err != nil {
				t.Error(err)
			}
			links <- link
		}()
		link, err := d.upgrader(t).Outbound(t.Context(), dc, address(t, keyB), 0)
		if err == nil {
			err = link.Agree(t.Context(), nil)
		}
		if err != nil {
			t.Error(err)
		}
		links <- link
		synctest.Wait()
		if took := time.Since(began); took != 0 {
			t.Errorf("somebody waited %v", took)
		}
		// The first writes are the negotiation's and the security's together. The dialer opens a stream and says hello, with go-yamux's first ping, answers
		// to the listener's, and says its verdict; the listener answers to the dialer's ping, and says hello and its verdict. What goes out together depends
		// on who gets to run.
		if d, l := dc.writes.Load(), lc.writes.Load(); d > 6 || l > 6 {
			t.Errorf("the dialer wrote %d times, the listener %d", d, l)
		}
		leave(<-links, <-links)
	})
}
