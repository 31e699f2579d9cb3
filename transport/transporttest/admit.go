package transporttest

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"

	"github.com/switchyard-p2p/switchyard/transport"
)

// door admits connections and counts the tickets that it has given out.
type door struct {
	mu      sync.Mutex
	asked   []*ticket            // one for each call of admit
	held    int                  // tickets that are not released
	twice   bool                 // one was released twice
	refuse  error                // what admit answers
	witness func(transport.Conn) // called by admit, if not nil
}

// ticket is a transport.Ticket, and the connection that it was given for.
type ticket struct {
	door     *door
	conn     transport.Conn
	remote   string
	released bool
}

func (d *door) admit(c transport.Conn) (transport.Ticket, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := &ticket{door: d, conn: c, remote: c.RemoteMultiaddr().String()}
	d.asked = append(d.asked, t)
	if d.witness != nil {
		d.witness(c)
	}
	if d.refuse != nil {
		return nil, d.refuse
	}
	d.held++
	return t, nil
}

// Release implements transport.Ticket.
func (t *ticket) Release() {
	t.door.mu.Lock()
	defer t.door.mu.Unlock()
	t.door.twice = t.door.twice || t.released
	t.released = true
	t.door.held--
}

// verify returns a check, for when all is closed, that each ticket was released once.
func (d *door) verify(t *testing.T) func() {
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.held != 0 || d.twice {
			t.Errorf("%d of %d tickets are not released; one was released twice: %v", d.held, len(d.asked), d.twice)
		}
	}
}

func (d *door) calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.asked)
}

// admitOnce: admit is asked once about each connection, before cryptography, and Accept returns that very ticket.
func admitOnce(h *harness) {
	const dials = 8
	before := 0
	if h.Handshakes != nil {
		before = h.Handshakes()
	}
	h.door.witness = func(c transport.Conn) {
		if want, _ := transport.MultiaddrIP(c.RemoteMultiaddr()); c.RemoteIP() != want {
			h.Errorf("admit sees RemoteIP %s; the multiaddr says %s", c.RemoteIP(), want)
		}
		if h.Handshakes != nil && h.Handshakes() != before {
			h.Error("admit is asked after the listener has computed for the connection")
		}
	}
	l := h.listen()
	for i := range dials {
		dialed, err := h.Dialer.Dial(h.ctx(), l.Addr())
		if err != nil {
			h.Fatal(err)
		}
		defer dialed.Close()
		c, got, err := l.Accept(h.ctx())
		if err != nil {
			h.Fatal(err)
		}
		defer c.Close()
		defer got.Release()
		if n := h.door.calls(); n != i+1 {
			h.Fatalf("admit was asked %d times about %d connections", n, i+1)
		}
		mine, ok := got.(*ticket)
		if !ok || mine != h.door.asked[i] || mine.remote != c.RemoteMultiaddr().String() || mine.released {
			h.Errorf("connection %d comes with another ticket, or one that is released", i)
		}
		if h.Handshakes != nil {
			h.door.mu.Lock()
			if before++; h.Handshakes() != before {
				h.Errorf("%d handshakes after %d connections", h.Handshakes(), before)
			}
			h.door.mu.Unlock()
		}
	}
}

// admitReadsNothing: the first byte that the dialer sends is still there for the caller of Accept.
func admitReadsNothing(h *harness) {
	l := h.listen()
	dialed, err := h.Dialer.Dial(h.ctx(), l.Addr())
	if err != nil {
		h.Fatal(err)
	}
	defer dialed.Close()
	if _, err := dialed.(transport.ByteConn).Write([]byte("first")); err != nil {
		h.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(h.accept(l).(transport.ByteConn), got); err != nil || string(got) != "first" {
		h.Errorf("read %q, %v", got, err)
	}
}

// admitRefuses: a refused connection ends, costs no cryptography and no goroutine, and is not returned by Accept.
func admitRefuses(h *harness) {
	const dials = 20
	goroutines := 0
	h.door.refuse = errors.New("full")
	h.door.witness = func(transport.Conn) { // at the first refusal
		if goroutines == 0 {
			goroutines = runtime.NumGoroutine()
		}
	}
	l := h.listen()
	ctx, stop := context.WithCancel(h.ctx())
	accepting := start(func() {
		if c, _, err := l.Accept(ctx); err == nil {
			c.Close()
			h.Error("Accept returns a refused connection")
		} else if !errors.Is(err, context.Canceled) {
			h.Errorf("Accept: %v", err)
		}
	})
	for range dials {
		c, err := h.Dialer.Dial(h.ctx(), l.Addr())
		if err != nil {
			continue // QUIC: the refusal is known at once
		}
		defer c.Close() // only now: what a refusal would leave behind at the listener stays visible
		b, ok := c.(transport.ByteConn)
		if !ok {
			h.Fatal("a refused connection came up")
		}
		h.within("a read of a refused connection", start(func() {
			if n, err := b.Read(make([]byte, 1)); err == nil {
				h.Errorf("%d bytes come from a refused connection", n)
			}
		}))
	}
	stop()
	h.within("Accept, after its context has ended,", accepting)
	if n := h.door.calls(); n < 1 || n > dials { // see transport.Admit
		h.Errorf("admit was asked %d times about %d connections", n, dials)
	}
	if h.Handshakes != nil && h.Handshakes() != 0 {
		h.Errorf("%d handshakes for refused connections", h.Handshakes())
	}
	if now := runtime.NumGoroutine(); now >= goroutines+dials/2 {
		h.Errorf("%d goroutines at the first refusal, %d after %d", goroutines, now, dials)
	}
	h.door.mu.Lock()
	h.door.refuse, h.door.witness = nil, nil
	h.door.mu.Unlock()
	ctx = h.ctx()
	for { // the listener goes on
		c, err := h.Dialer.Dial(ctx, l.Addr())
		if err == nil {
			defer c.Close()
			h.accept(l)
			return
		}
		if ctx.Err() != nil {
			h.Fatalf("no connection is accepted after the refusals: %v", err)
		}
	}
}

// admitCloses checks that the Conn passed to admit can be closed later, also after Accept has returned it.
func admitCloses(h *harness) {
	dialed, _ := h.connect(h.listen())
	if err := h.door.asked[h.door.calls()-1].conn.Close(); err != nil {
		h.Error(err)
	}
	h.within("a read of a connection that the remote has closed", start(func() {
		if _, err := dialed.(transport.ByteConn).Read(make([]byte, 1)); err == nil {
			h.Error("a byte comes from a connection that was closed")
		}
	}))
}

// nilAdmit: a listener without Admit takes every connection, without a ticket.
func nilAdmit(h *harness) {
	l, err := h.Listener.Listen(h.ctx(), h.Listen, nil)
	if err != nil {
		h.Fatal(err)
	}
	defer l.Close()
	dialed, err := h.Dialer.Dial(h.ctx(), l.Addr())
	if err != nil {
		h.Fatal(err)
	}
	defer dialed.Close()
	c, ticket, err := l.Accept(h.ctx())
	if err != nil {
		h.Fatal(err)
	}
	defer c.Close()
	if ticket != nil {
		h.Errorf("a ticket from nowhere: %v", ticket)
	}
}

// neverAccepted checks that connections that were not accepted end with the listener, and that no ticket is lost (see
// door.verify).
func neverAccepted(h *harness) {
	l := h.listen()
	for range 4 {
		c, err := h.Dialer.Dial(h.ctx(), l.Addr())
		if err != nil {
			h.Fatal(err)
		}
		defer c.Close()
	}
	if err := l.Close(); err != nil {
		h.Error(err)
	}
}

// goneBeforeAccept: no ticket is lost when the dialer has hung up before Accept is called, whether it returns the
// connection or not.
func goneBeforeAccept(h *harness) {
	l := h.listen()
	for range 4 {
		c, err := h.Dialer.Dial(h.ctx(), l.Addr())
		if err != nil {
			h.Fatal(err)
		}
		c.Close()
	}
	ctx := h.soon()
	for {
		c, ticket, err := l.Accept(ctx)
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				h.Error(err)
			}
			return
		}
		c.Close()
		ticket.Release()
	}
}
