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

// A set-up is few writes, and one round trip behind the security. The first write is the negotiation's and the
// security's together. The dialer opens a stream with its hello, and says its verdict; the listener says hello and its
// verdict. Each answers the other's ping. What goes out together depends a little on which goroutine runs first.
func TestWrites(t *testing.T) {
	const most, usual = 7, 5
	fewest := [2]int64{most, most}
	for range 10 {
		for i, n := range setupWrites(t) {
			if n > most {
				t.Errorf("%s wrote %d times", []string{"the dialer", "the listener"}[i], n)
			}
			fewest[i] = min(fewest[i], n)
		}
	}
	if max(fewest[0], fewest[1]) > usual {
		t.Errorf("of ten set-ups the dialer wrote %d times at least, the listener %d", fewest[0], fewest[1])
	}
}

// setupWrites makes one set-up, and says how often the dialer and the listener wrote.
func setupWrites(t *testing.T) (n [2]int64) {
	synctest.Test(t, func(t *testing.T) {
		d, l := ends()
		d.security, l.security = plain{yamux.Protocol}, plain{yamux.Protocol}
		x, y := rawPair()
		dc, lc := &counted{Conn: x}, &counted{Conn: y}
		u := l.upgrader(t)
		ticket, err := u.Admit(lc)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		links := make(chan *handshake.Link, 2)
		go func() {
			link, err := u.Inbound(t.Context(), lc, ticket)
			if err == nil {
				err = link.Confirm(t.Context(), nil)
			}
			if err != nil {
				t.Error(err)
			}
			links <- link
		}()
		link, err := d.upgrader(t).Outbound(t.Context(), dc, address(t, keyB), 0)
		if err == nil {
			err = link.Confirm(t.Context(), nil)
		}
		if err != nil {
			t.Error(err)
		}
		links <- link
		synctest.Wait()
		if took := time.Since(began); took != 0 {
			t.Errorf("somebody waited %v", took)
		}
		n = [2]int64{int64(dc.writes.Load()), int64(lc.writes.Load())}
		leave(<-links, <-links)
	})
	return n
}
