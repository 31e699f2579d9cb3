// Package transporttest is the suite that every transport passes: call Run in a test of the transport's package. The
// checks of byte streams (semantics of net.Conn) apply to transports whose connections are a transport.ByteConn.
package transporttest

import (
	"context"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Env is what a transport's factory makes for one check.
type Env struct {
	// Dialer dials what Listener listens on. They may be the same.
	Dialer, Listener transport.Transport
	// Listen asks for a free port: ".../tcp/0", "/memory/0".
	Listen ma.Multiaddr
	// Foreign is an address of a form that the transport does not dial or listen on.
	Foreign ma.Multiaddr
	// Hangs is an address at which a dial waits until its context ends; nil leaves that check out.
	Hangs ma.Multiaddr
	// Handshakes is how many connections Listener has spent cryptography on; nil for a transport that has none.
	Handshakes func() int
}

// patience bounds every wait of the suite: it passes only where something hangs that should not.
const patience = 20 * time.Second

// Run runs the suite. factory is called once for each check, in a subtest of its own; what it opens, it closes with
// t.Cleanup. After each check no goroutine may be left.
func Run(t *testing.T, factory func(t *testing.T) Env) {
	t.Helper()
	checks := []struct {
		name  string
		bytes bool
		run   func(*harness)
	}{
		{"DialAndAccept", false, dialAndAccept},
		{"FreePorts", false, freePorts},
		{"AddressInUse", false, addressInUse},
		{"ListenAgain", false, listenAgain},
		{"ForeignAddress", false, foreignAddress},
		{"RefusedDial", false, refusedDial},
		{"ConcurrentDials", true, concurrentDials},
		{"SilentPeers", false, silentPeers},
		{"ListenContext", false, listenContext},
		{"DialContext", false, dialContext},
		{"AcceptContext", false, acceptContext},
		{"ListenerClose", false, listenerClose},
		{"AdmitOnce", false, admitOnce},
		{"AdmitReadsNothing", true, admitReadsNothing},
		{"AdmitRefuses", false, admitRefuses},
		{"AdmitCloses", true, admitCloses},
		{"NilAdmit", false, nilAdmit},
		{"NeverAccepted", false, neverAccepted},
		{"GoneBeforeAccept", false, goneBeforeAccept},
		{"ConnClose", false, connClose},
		{"BytesBothWays", true, bytesBothWays},
		{"CloseEndsStream", true, closeEndsStream},
		{"CloseUnblocks", true, closeUnblocks},
		{"UseAfterClose", true, useAfterClose},
		{"HalfClose", true, halfClose},
		{"LargeTransfer", true, largeTransfer},
		{"Backpressure", true, backpressure},
		{"DeadlinePast", true, deadlinePast},
		{"DeadlineFuture", true, deadlineFuture},
		{"DeadlineReset", true, deadlineReset},
		{"DeadlineWakes", true, deadlineWakes},
		{"EmptyReadAndWrite", true, emptyReadAndWrite},
		{"ConcurrentCalls", true, concurrentCalls},
		{"WritesStayTogether", true, writesStayTogether},
		{"WriteToClosed", true, writeToClosed},
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, before) }) // the first cleanup runs last
			h := &harness{T: t, Env: factory(t)}
			t.Cleanup(h.door.verify(t)) // after everything that the check opens is closed
			if c.bytes && !h.isBytes() {
				return // already secured and muxed: no byte stream to check
			}
			c.run(h)
		})
	}
}

// harness is one check's environment.
type harness struct {
	*testing.T
	Env
	door door
}

// ctx returns a context that ends with the check, or after patience.
func (h *harness) ctx() context.Context {
	ctx, cancel := context.WithTimeout(h.Context(), patience)
	h.Cleanup(cancel)
	return ctx
}

func (h *harness) listen() transport.Listener {
	h.Helper()
	l, err := h.Listener.Listen(h.ctx(), h.Listen, h.door.admit)
	if err != nil {
		h.Fatalf("Listen(%s): %v", h.Listen, err)
	}
	h.Cleanup(func() { l.Close() })
	return l
}

// connect makes a connection: the dialing end and the accepted one.
func (h *harness) connect(l transport.Listener) (transport.Conn, transport.Conn) {
	h.Helper()
	dialed, err := h.Dialer.Dial(h.ctx(), l.Addr())
	if err != nil {
		h.Fatalf("Dial(%s): %v", l.Addr(), err)
	}
	h.Cleanup(func() { dialed.Close() })
	return dialed, h.accept(l)
}

// accept accepts the next connection and releases its ticket.
func (h *harness) accept(l transport.Listener) transport.Conn {
	h.Helper()
	c, ticket, err := l.Accept(h.ctx())
	if err != nil {
		h.Fatalf("Accept: %v", err)
	}
	h.Cleanup(func() { c.Close() })
	ticket.Release()
	return c
}

// pipe returns a connection of bytes.
func (h *harness) pipe() (transport.ByteConn, transport.ByteConn) {
	h.Helper()
	a, b := h.connect(h.listen())
	return a.(transport.ByteConn), b.(transport.ByteConn)
}

func (h *harness) isBytes() bool {
	l := h.listen()
	defer l.Close()
	a, b := h.connect(l)
	defer a.Close()
	defer b.Close()
	_, ok := a.(transport.ByteConn)
	return ok
}

// within fails the check when done is not closed in time.
func (h *harness) within(what string, done <-chan struct{}) {
	h.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		h.Fatalf("%s hangs", what)
	}
}

// start runs fn in a goroutine; the channel is closed when it returns.
func start(fn func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	return done
}
