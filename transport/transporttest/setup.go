package transporttest

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
)

func dialAndAccept(h *harness) {
	if h.Dialer.Name() == "" {
		h.Error("a transport without a name")
	}
	l := h.listen()
	if !h.Dialer.CanDial(l.Addr()) {
		h.Errorf("CanDial(%s) is false", l.Addr())
	}
	dialed, accepted := h.connect(l)
	if got := dialed.RemoteMultiaddr(); !got.Equal(l.Addr()) {
		h.Errorf("the dialer's remote is %s, want %s", got, l.Addr())
	}
	if got := accepted.LocalMultiaddr(); !got.Equal(l.Addr()) {
		h.Errorf("the acceptor's local address is %s, want %s", got, l.Addr())
	}
	if got, want := accepted.RemoteMultiaddr(), dialed.LocalMultiaddr(); !got.Equal(want) {
		h.Errorf("the acceptor's remote is %s, the dialer's local address is %s", got, want)
	}
	for _, c := range []transport.Conn{dialed, accepted} {
		if want, _ := transport.MultiaddrIP(c.RemoteMultiaddr()); c.RemoteIP() != want {
			h.Errorf("RemoteIP is %s; the multiaddr says %s", c.RemoteIP(), want)
		}
	}
}

func freePorts(h *harness) {
	seen := make(map[string]bool)
	for range 8 {
		l := h.listen()
		if l.Addr().Equal(h.Listen) {
			h.Errorf("Addr is %s: want the real port", l.Addr())
		}
		if seen[l.Addr().String()] {
			h.Errorf("%s was given twice", l.Addr())
		}
		seen[l.Addr().String()] = true
	}
}

func addressInUse(h *harness) {
	l := h.listen()
	second, err := h.Listener.Listen(h.ctx(), l.Addr(), nil)
	if err == nil {
		second.Close()
		h.Fatalf("a second Listen on %s succeeds", l.Addr())
	}
	h.wantOpError(err, l.Addr())
	if !strings.Contains(err.Error(), "in use") {
		h.Errorf("error %q does not say that the address is in use", err)
	}
}

func (h *harness) wantOpError(err error, addr ma.Multiaddr) {
	h.Helper()
	var op *transport.OpError
	if !errors.As(err, &op) {
		h.Errorf("error %q (%T) is no *transport.OpError", err, err)
		return
	}
	if !op.Addr.Equal(addr) || !strings.Contains(err.Error(), addr.String()) || strings.Contains(err.Error(), "\n") {
		h.Errorf("error %q: want one line that names %s", err, addr)
	}
}

func listenAgain(h *harness) {
	l := h.listen()
	addr := l.Addr()
	if err := l.Close(); err != nil {
		h.Fatalf("Close: %v", err)
	}
	l, err := h.Listener.Listen(h.ctx(), addr, h.door.admit)
	if err != nil {
		h.Fatalf("Listen on %s after Close: %v", addr, err)
	}
	defer l.Close()
	if !l.Addr().Equal(addr) {
		h.Errorf("Addr is %s, want %s", l.Addr(), addr)
	}
	h.connect(l)
}

func foreignAddress(h *harness) {
	if h.Dialer.CanDial(h.Foreign) {
		h.Errorf("CanDial(%s) is true", h.Foreign)
	}
	if c, err := h.Dialer.Dial(h.ctx(), h.Foreign); err == nil {
		c.Close()
		h.Errorf("Dial(%s) succeeds", h.Foreign)
	} else if !errors.Is(err, transport.ErrNoTransport) {
		h.Errorf("Dial(%s): error %q does not wrap ErrNoTransport", h.Foreign, err)
	}
	if l, err := h.Listener.Listen(h.ctx(), h.Foreign, nil); err == nil {
		l.Close()
		h.Errorf("Listen(%s) succeeds", h.Foreign)
	} else if !errors.Is(err, transport.ErrNoTransport) {
		h.Errorf("Listen(%s): error %q does not wrap ErrNoTransport", h.Foreign, err)
	}
	if h.Dialer.CanDial(nil) {
		h.Error("CanDial(nil) is true")
	}
}

func refusedDial(h *harness) {
	l := h.listen()
	addr := l.Addr()
	l.Close()
	ctx, cancel := context.WithTimeout(h.ctx(), 5*time.Second) // QUIC learns of no refusal
	defer cancel()
	c, err := h.Dialer.Dial(ctx, addr)
	if err == nil {
		c.Close()
		h.Fatalf("Dial(%s) succeeds although nothing listens", addr)
	}
	h.wantOpError(err, addr)
}

// concurrentDials: each connection reaches its own dialer, whatever the order in which they are accepted.
func concurrentDials(h *harness) {
	const dials = 64
	l := h.listen()
	var wg sync.WaitGroup
	wg.Go(func() {
		for range dials {
			c, ticket, err := l.Accept(h.ctx())
			if err != nil {
				h.Errorf("Accept: %v", err)
				return
			}
			ticket.Release()
			wg.Go(func() { // echo
				b := c.(transport.ByteConn)
				if _, err := io.CopyN(b, b, 8); err != nil {
					h.Errorf("echo: %v", err)
				}
				b.Close()
			})
		}
	})
	ctx := h.ctx()
	for i := range dials {
		wg.Go(func() {
			c, err := h.Dialer.Dial(ctx, l.Addr())
			if err != nil {
				h.Errorf("Dial: %v", err)
				return
			}
			defer c.Close()
			b := c.(transport.ByteConn)
			var token [8]byte
			binary.BigEndian.PutUint64(token[:], uint64(i)+1)
			b.Write(token[:])
			var back [8]byte
			if _, err := io.ReadFull(b, back[:]); err != nil || back != token {
				h.Errorf("connection %d: got %x, %v", i, back, err)
			}
		})
	}
	h.within("64 concurrent dials", start(wg.Wait))
}

// silentPeers: connections whose dialers send nothing do not hold up the next one.
func silentPeers(h *harness) {
	l := h.listen()
	for range 32 {
		h.connect(l)
	}
}

func listenContext(h *harness) {
	ctx, cancel := context.WithCancel(h.ctx())
	cancel()
	if l, err := h.Listener.Listen(ctx, h.Listen, h.door.admit); err == nil {
		l.Close()
		h.Error("Listen succeeds after its context has ended")
	} else if !errors.Is(err, context.Canceled) {
		h.Errorf("Listen: error %q does not wrap the context's", err)
	}
	ctx, cancel = context.WithCancel(h.ctx())
	l, err := h.Listener.Listen(ctx, h.Listen, h.door.admit)
	if err != nil {
		h.Fatalf("Listen: %v", err)
	}
	defer l.Close()
	cancel()
	h.connect(l) // the context was for Listen only
}

func dialContext(h *harness) {
	l := h.listen()
	ctx, cancel := context.WithCancel(h.ctx())
	cancel()
	if c, err := h.Dialer.Dial(ctx, l.Addr()); err == nil {
		c.Close()
		h.Error("Dial succeeds after its context has ended")
	} else if !errors.Is(err, context.Canceled) {
		h.Errorf("Dial: error %q does not wrap the context's", err)
	}
	ctx, cancel = context.WithTimeout(h.ctx(), -time.Second)
	defer cancel()
	if c, err := h.Dialer.Dial(ctx, l.Addr()); err == nil {
		c.Close()
		h.Error("Dial succeeds after its deadline")
	} else if !errors.Is(err, context.DeadlineExceeded) {
		h.Errorf("Dial: error %q does not wrap the context's", err)
	}
	ctx, cancel = context.WithCancel(h.ctx())
	c, err := h.Dialer.Dial(ctx, l.Addr())
	if err != nil {
		h.Fatalf("Dial: %v", err)
	}
	defer c.Close()
	cancel() // the context was for Dial only
	accepted := h.accept(l)
	if a, ok := c.(transport.ByteConn); ok {
		h.exchange(a, accepted.(transport.ByteConn))
	}

	if h.Hangs == nil {
		return
	}
	for _, end := range []struct {
		ctx  func() (context.Context, context.CancelFunc)
		want error
	}{
		{func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(h.ctx(), 20*time.Millisecond)
		}, context.DeadlineExceeded},
		{func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(h.ctx())
			context.AfterFunc(h.soon(), cancel)
			return ctx, cancel
		}, context.Canceled},
	} {
		ctx, cancel := end.ctx()
		h.within("a dial that nobody answers, after its context has ended,", start(func() {
			c, err := h.Dialer.Dial(ctx, h.Hangs)
			if err == nil {
				c.Close()
			}
			if !errors.Is(err, end.want) {
				h.Errorf("Dial(%s): error %v does not wrap %q", h.Hangs, err, end.want)
			}
			h.wantOpError(err, h.Hangs)
		}))
		cancel()
	}
}

// soon returns a context that ends in a moment.
func (h *harness) soon() context.Context {
	ctx, cancel := context.WithTimeout(h.Context(), 20*time.Millisecond)
	h.Cleanup(cancel)
	return ctx
}

func acceptContext(h *harness) {
	l := h.listen()
	ctx, cancel := context.WithCancel(h.ctx())
	cancel()
	if _, _, err := l.Accept(ctx); !errors.Is(err, context.Canceled) {
		h.Errorf("Accept after its context has ended: %v", err)
	}
	for range 10 {
		ctx, cancel := context.WithCancel(h.ctx())
		done := start(func() {
			if _, _, err := l.Accept(ctx); !errors.Is(err, context.Canceled) ||
				errors.Is(err, transport.ErrListenerClosed) {
				h.Errorf("Accept: error %v does not wrap the context's", err)
			}
		})
		cancel()
		h.within("Accept, after its context has ended,", done)
	}
	if _, _, err := l.Accept(h.soon()); !errors.Is(err, context.DeadlineExceeded) {
		h.Errorf("Accept: error %v does not wrap the context's", err)
	}
	h.connect(l) // the listener goes on
}

func listenerClose(h *harness) {
	l := h.listen()
	dialed, accepted := h.connect(l)
	var err error
	done := start(func() { _, _, err = l.Accept(h.ctx()) })
	if err := l.Close(); err != nil {
		h.Errorf("Close: %v", err)
	}
	h.within("Accept, after Close,", done)
	if !errors.Is(err, transport.ErrListenerClosed) {
		h.Errorf("Accept after Close: error %v does not wrap ErrListenerClosed", err)
	}
	if err := l.Close(); err != nil {
		h.Errorf("second Close: %v", err)
	}
	if _, _, err := l.Accept(h.ctx()); !errors.Is(err, transport.ErrListenerClosed) {
		h.Errorf("Accept after Close: error %v does not wrap ErrListenerClosed", err)
	}
	if a, ok := dialed.(transport.ByteConn); ok { // accepted connections stay open
		h.exchange(a, accepted.(transport.ByteConn))
	}
}

func connClose(h *harness) {
	a, b := h.connect(h.listen())
	var wg sync.WaitGroup
	for _, c := range []transport.Conn{a, b} {
		for range 4 {
			wg.Go(func() {
				if err := c.Close(); err != nil {
					h.Errorf("Close: %v", err)
				}
			})
		}
	}
	h.within("Close, from many goroutines,", start(wg.Wait))
	if a.LocalMultiaddr() == nil || a.RemoteMultiaddr() == nil {
		h.Error("no addresses after Close")
	}
}
