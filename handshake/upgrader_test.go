package handshake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

func TestInboundAndOutbound(t *testing.T) {
	a, b := pipe("/ip4/10.0.0.1")
	du, lu := newUpgrader(t, fakeConfig(remoteKey)), newUpgrader(t, fakeConfig(ourKey))
	type result struct {
		link *Link
		err  error
	}
	done := make(chan result, 1)
	go func() {
		link, err := inbound(lu, b)
		done <- result{link, err}
	}()
	addr := address(t, string(ourKey.ID())+"@10.9.9.9:26656")
	out, err := du.Outbound(context.Background(), a, addr, time.Second)
	in := <-done
	if err != nil || in.err != nil {
		t.Fatal(err, in.err)
	}
	if out.ID() != ourKey.ID() || in.link.ID() != remoteKey.ID() || out.Dialed != addr || !in.link.Dialed.IsZero() {
		t.Error("who is who")
	}
	if out.Side != muxer.Dialer || in.link.Side != muxer.Listener || out.Wire != "comet" || out.Transport != "tcp" {
		t.Errorf("%+v", out)
	}
	if s := fmt.Sprint(out.Stages[0], len(out.Stages), len(in.link.Stages)); s != "{transport 1s} 4 3" {
		t.Errorf("stages %s", s)
	}
	if out.LocalAddr.String() != "/ip4/10.0.0.1/tcp/40000" || in.link.RemoteAddr.String() != "/ip4/10.0.0.1/tcp/40000" {
		t.Error("addresses")
	}
	if a.IsClosed() || b.IsClosed() {
		t.Error("closed")
	}
	unused(t, lu)
	a.Close()
	b.Close()
}

// Whatever a remote does not do, the deadline ends it, the connection is closed and the place is free.
func TestSilenceEndsAtTheDeadline(t *testing.T) {
	for sent := range 33 {
		synctest.Test(t, func(t *testing.T) {
			u := newUpgrader(t, fakeConfig(ourKey))
			remote, ours := pipe("/ip4/10.0.0.1")
			hello := append([]byte{0x22}, remoteKey.Public().Raw()...)
			_, _ = remote.Write(hello[:sent])
			began := time.Now()
			_, err := inbound(u, ours)
			if took := time.Since(began); took != timeout {
				t.Errorf("after %d bytes: ended after %v", sent, took)
			}
			if stage, code := failure(t, err); stage != StageSecurity || code != muxer.CodeTimeout ||
				!errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("after %d bytes: %v", sent, err)
			}
			if !strings.Contains(err.Error(), "5s (limits.handshake_timeout)") {
				t.Error(err)
			}
			if !ours.IsClosed() {
				t.Error("still open")
			}
			unused(t, u)
		})
	}
}

func TestTrickledBytes(t *testing.T) {
	for pause, want := range map[time.Duration]muxer.Code{100 * time.Millisecond: muxer.CodeUnknown,
		200 * time.Millisecond: muxer.CodeTimeout} {
		synctest.Test(t, func(t *testing.T) {
			u := newUpgrader(t, fakeConfig(ourKey))
			remote, ours := pipe("/ip4/10.0.0.1")
			var trickle sync.WaitGroup
			defer trickle.Wait()
			trickle.Go(func() {
				for _, b := range append([]byte{0x22}, remoteKey.Public().Raw()...) {
					time.Sleep(pause) // the virtual clock's
					if _, err := remote.Write([]byte{b}); err != nil {
						return
					}
				}
			})
			began := time.Now()
			link, err := inbound(u, ours)
			if want == muxer.CodeUnknown {
				if err != nil || link.ID() != remoteKey.ID() {
					t.Error(err)
				}
			} else if _, code := failure(t, err); code != want || time.Since(began) != timeout {
				t.Error(err)
			}
			ours.Close()
			remote.Close()
			unused(t, u)
		})
	}
}

func TestHangUp(t *testing.T) {
	for _, sent := range []int{0, 1, 10, 32} {
		u := newUpgrader(t, fakeConfig(ourKey))
		remote, ours := pipe("/ip4/10.0.0.1")
		_, _ = remote.Write(append([]byte{0x22}, remoteKey.Public().Raw()...)[:sent])
		remote.Close()
		_, err := inbound(u, ours)
		if stage, code := failure(t, err); stage != StageSecurity || code != muxer.CodeRemoteClosed &&
			code != muxer.CodeTransport {
			t.Errorf("after %d bytes: %v", sent, err)
		}
		unused(t, u)
	}
}

func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUpgrader(t, fakeConfig(ourKey))
		_, ours := pipe("/ip4/10.0.0.1")
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Second, cancel)
		ticket, err := u.Admit(ours)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = u.Inbound(ctx, ours, ticket)
		if _, code := failure(t, err); code != muxer.CodeRequested || !errors.Is(err, context.Canceled) ||
			time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		unused(t, u)

		// The caller's own deadline is a timeout, but not the setting's.
		_, ours = pipe("/ip4/10.0.0.1")
		ctx, cancel = context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err = u.Outbound(ctx, ours, address(t, "10.0.0.1:1"), 0)
		if _, code := failure(t, err); code != muxer.CodeTimeout || !strings.Contains(err.Error(), "within 1s") ||
			strings.Contains(err.Error(), keyTimeout) {
			t.Error(err)
		}
	})
}

func TestTimeoutIsConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := fakeConfig(ourKey)
		cfg.Timeout = 700 * time.Millisecond
		u := newUpgrader(t, cfg)
		_, ours := pipe("/ip4/10.0.0.1")
		began := time.Now()
		if _, err := inbound(u, ours); err == nil || time.Since(began) != cfg.Timeout {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// A wire that does not notice the end of its context has its connection closed all the same, and one that succeeds too
// late has failed.
func TestTheUpgraderClosesConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := &securedWire{fakeWire{name: "late", key: ourKey}}
		conn := newSecuredConn()
		late.before = func(ctx context.Context, a *Attempt) error {
			<-conn.Conn.(*securedConn).closed
			return nil
		}
		u := newUpgrader(t, fakeConfig(ourKey, late))
		began := time.Now()
		_, err := inbound(u, conn)
		if _, code := failure(t, err); code != muxer.CodeTimeout || time.Since(began) != timeout {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		unused(t, u)
	})
}

func TestFirstByte(t *testing.T) {
	for _, c := range []struct{ sent, want string }{
		{"\x22" + strings.Repeat("k", 32), ""},
		{"\x13", "libp2p was chosen"},
		{"GET / HTTP/1.1\r\n\r\n", "speaks HTTP: no wire begins with the byte 0x47"},
		{"\x16\x03\x01", "speaks plain TLS: "},
		{"SSH-2.0-x\r\n", "speaks SSH: "},
		{"\x00", "0x00"},
		{"\xff", "0xff"},
	} {
		second := &fakeWire{name: "libp2p", first: 0x13, key: ourKey, before: func(context.Context, *Attempt) error {
			return Fail(StageSecurity, muxer.CodeIncompatible, errors.New("libp2p was chosen"))
		}}
		u := newUpgrader(t, fakeConfig(ourKey, &fakeWire{name: "comet", first: 0x22, key: ourKey}, second))
		remote, ours := pipe("/ip4/10.0.0.1")
		_, _ = io.WriteString(remote, c.sent)
		link, err := inbound(u, ours)
		switch {
		case c.want == "":
			if err != nil || link.Wire != "comet" {
				t.Errorf("%q: %v", c.sent, err)
			}
		case err == nil || !strings.Contains(err.Error(), c.want):
			t.Errorf("%q: %v", c.sent, err)
		case c.sent != "\x13":
			if stage, code := failure(t, err); stage != StageSecurity || code != muxer.CodeProtocolError {
				t.Errorf("%q: %v", c.sent, err)
			}
		}
		unused(t, u)
	}
}

// What Peek returns is read again, byte for byte, whatever the sizes of the reads.
func TestPeek(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 80)
	for _, first := range []int{1, 2, 35, peekSize, peekSize + 1, 200} {
		for _, size := range []int{1, 3, 64, 65, 500} {
			remote, ours := pipe("/ip4/10.0.0.1")
			_, _ = io.WriteString(remote, text[:first])
			c := NewPeekConn(ours)
			prefix, err := c.Peek()
			if err != nil || !strings.HasPrefix(text, string(prefix)) || len(prefix) == 0 ||
				c.Buffered() != len(prefix) {
				t.Fatalf("%q, %d buffered: %v", prefix, c.Buffered(), err)
			}
			_, _ = io.WriteString(remote, text[first:])
			remote.Close()
			got, err := io.ReadAll(&limitedReads{c, size})
			if err != nil || string(got) != text {
				t.Errorf("first %d, reads of %d: %q, %v", first, size, got, err)
			}
		}
	}
	if _, err := NewPeekConn(emptyReads{}).Peek(); err != io.ErrNoProgress {
		t.Error(err)
	}
}

type limitedReads struct {
	r io.Reader
	n int
}

func (l *limitedReads) Read(p []byte) (int, error) { return l.r.Read(p[:min(len(p), l.n)]) }

type emptyReads struct{ transport.ByteConn }

func (emptyReads) Read([]byte) (int, error) { return 0, nil }

func TestWireThatPanicsOrMakesNothing(t *testing.T) {
	var log strings.Builder
	for name, wire := range map[string]*fakeWire{
		"panicked": {name: "comet", first: 0x22, key: ourKey, before: func(context.Context, *Attempt) error {
			panic("boom")
		}},
		"no session": {name: "comet", first: 0x22, key: ourKey, none: true},
		"plain": {name: "comet", first: 0x22, key: ourKey, before: func(context.Context, *Attempt) error {
			return errors.New("plain error")
		}},
	} {
		cfg := fakeConfig(ourKey, wire)
		cfg.Logger = textLogger(&log)
		u := newUpgrader(t, cfg)
		remote, ours := pipe("/ip4/10.0.0.1")
		talk(remote, remoteKey)
		_, err := inbound(u, ours)
		if stage, code := failure(t, err); code != muxer.CodeUnknown || stage == "" ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if !ours.IsClosed() {
			t.Errorf("%s: still open", name)
		}
		unused(t, u)
	}
	if !strings.Contains(log.String(), "boom") || !strings.Contains(log.String(), "fake_test.go") {
		t.Errorf("the panic was not logged with its stack: %s", log.String())
	}
}

func TestChoiceOfTheWire(t *testing.T) {
	comet := &fakeWire{name: "comet", first: 0x22, key: ourKey}
	lib := &securedWire{fakeWire{name: "libp2p", first: 0x13, key: ourKey}}
	peer := remoteKey.Public().PeerID()
	for _, c := range []struct {
		conn  transport.Conn
		addr  string
		wires []Wire
		want  string // wire, or what the error says
	}{
		{nil, "/ip4/10.0.0.1/tcp/1/mconn/" + string(remoteKey.ID()), []Wire{lib, comet}, "comet"},
		{nil, "/ip4/10.0.0.1/tcp/1/p2p/" + peer, []Wire{comet, lib}, "libp2p"},
		{nil, "/ip4/10.0.0.1/tcp/1", []Wire{comet, lib}, "comet"},
		{nil, "/ip4/10.0.0.1/tcp/1", []Wire{lib, comet}, "libp2p"},
		{nil, "/ip4/10.0.0.1/tcp/1/p2p/" + peer, []Wire{comet}, "none of our wires dials"},
		{newSecuredConn(), "/ip4/10.0.0.9/udp/5/quic-v1/p2p/" + peer, []Wire{comet, lib}, "libp2p"},
		{newSecuredConn(), "/ip4/10.0.0.9/udp/5/quic-v1", []Wire{comet, lib}, "libp2p"},
		{newSecuredConn(), "/ip4/10.0.0.9/udp/5/quic-v1", []Wire{comet}, "none of our wires dials"},
	} {
		conn := c.conn
		if conn == nil {
			_, conn = pipe("/ip4/10.0.0.1")
		}
		u := newUpgrader(t, fakeConfig(ourKey, c.wires...))
		got := ""
		for _, w := range c.wires {
			w, before := w, func(context.Context, *Attempt) error { got = w.Name(); return os.ErrInvalid }
			switch w := w.(type) {
			case *fakeWire:
				w.before = before
			case *securedWire:
				w.before = before
			}
		}
		_, err := u.Outbound(context.Background(), conn, address(t, c.addr), 0)
		if got != c.want && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: wire %q, %v", c.addr, got, err)
		}
	}
	lib.before = nil
	u := newUpgrader(t, fakeConfig(ourKey, comet, lib))
	if link, err := inbound(u, newSecuredConn()); err != nil || link.Wire != "libp2p" || link.Transport != "quic" {
		t.Errorf("%+v, %v", link, err)
	}
	u = newUpgrader(t, fakeConfig(ourKey, comet))
	_, err := inbound(u, newSecuredConn())
	if _, code := failure(t, err); code != muxer.CodeIncompatible {
		t.Error(err)
	}
}

func TestBadConfig(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"stack.wires: an upgrader needs": func(c *Config) { c.Wires = nil },
		`stack.wires: "comet"`:           func(c *Config) { c.Wires = append(c.Wires, c.Wires[0]) },
		"Config.Local":                   func(c *Config) { c.Local = nil },
		"Config.Channels":                func(c *Config) { c.Channels = nil },
		keyTimeout:                       func(c *Config) { c.Timeout = -1 },
		keyHandshakes + ":":              func(c *Config) { c.Limits.Handshakes = -1 },
		keyHandshakesPerIP + ":":         func(c *Config) { c.Limits.HandshakesPerIP = -1 },
		keyAttemptsPerIP + ":":           func(c *Config) { c.Limits.AttemptsPerIP = -1 },
	} {
		cfg := fakeConfig(ourKey)
		change(&cfg)
		if _, err := NewUpgrader(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestTransportNames(t *testing.T) {
	for text, want := range map[string]string{
		"/ip4/1.2.3.4/tcp/5": "tcp", "/ip6/::1/udp/5/quic-v1": "quic", "/memory/7": "memory",
		"/ip4/1.2.3.4/udp/5": "udp", "/ip4/1.2.3.4/tcp/5/ws": "tcp",
	} {
		if got := transportOf(address(t, text).Multiaddr()); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	if transportOf(nil) != "" {
		t.Error("nil")
	}
}
