package golibp2p_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/event"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multistream"

	"github.com/switchyard-p2p/switchyard/modules/golibp2p"
)

// diary notes what a host tells, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
	grown chan struct{}
}

func newDiary(h corehost.Host) *diary {
	d := &diary{grown: make(chan struct{}, 100)}
	h.Network().Notify(&network.NotifyBundle{
		ConnectedF:    func(_ network.Network, c network.Conn) { d.note("connected") },
		DisconnectedF: func(_ network.Network, c network.Conn) { d.note("disconnected") },
	})
	return d
}

func (d *diary) note(line string) {
	d.mu.Lock()
	d.lines = append(d.lines, line)
	d.mu.Unlock()
	d.grown <- struct{}{}
}

// await waits for n lines and returns them.
func (d *diary) await(t *testing.T, n int) []string {
	t.Helper()
	ctx := within(t)
	for {
		d.mu.Lock()
		lines := slices.Clone(d.lines)
		d.mu.Unlock()
		if len(lines) >= n {
			return lines
		}
		select {
		case <-d.grown:
		case <-ctx.Done():
			t.Fatalf("%d lines, want %d: %q", len(lines), n, lines)
		}
	}
}

// A notifiee may close the connection of which it hears.
func TestCloseInNotifiee(t *testing.T) {
	a, b := tcpOnly(t), tcpOnly(t)
	a.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}})
	told := newDiary(a)
	for range 3 {
		connect(t, a, b)
	}
	for i, line := range told.await(t, 6) {
		if want := []string{"connected", "disconnected"}[i%2]; line != want {
			t.Errorf("line %d: %s", i, line)
		}
	}
}

// stacks are the ways in which two hosts connect.
func stacks() map[string]golibp2p.Config {
	tcp, quic := []string{"/ip4/127.0.0.1/tcp/0"}, []string{"/ip4/127.0.0.1/udp/0/quic-v1"}
	return map[string]golibp2p.Config{
		"noise": {Listen: tcp, Transports: []string{"tcp"}, Security: []string{"noise"}},
		"tls":   {Listen: tcp, Transports: []string{"tcp"}, Security: []string{"tls"}},
		"quic":  {Listen: quic, Transports: []string{"quic"}},
	}
}

// A notifiee hears of a connection before its streams are served, and of its end once.
func TestNotifiees(t *testing.T) {
	a, b := tcpOnly(t), tcpOnly(t)
	of := newDiary(b)
	b.SetStreamHandler("/p", func(s network.Stream) {
		of.note("stream")
		_ = s.Close()
	})
	events, err := a.EventBus().Subscribe(new(event.EvtPeerConnectednessChanged))
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	for range 3 {
		connect(t, a, b)
		s, err := a.NewStream(within(t), b.ID(), "/p")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(s); err != nil {
			t.Error(err)
		}
		_ = s.Close()
		if err := a.Network().ClosePeer(b.ID()); err != nil {
			t.Fatal(err)
		}
		if c := a.Network().Connectedness(b.ID()); c != network.NotConnected {
			t.Errorf("closed and %v", c)
		}
		for _, want := range []network.Connectedness{network.Connected, network.NotConnected} {
			if e := (<-events.Out()).(event.EvtPeerConnectednessChanged); e.Connectedness != want || e.Peer != b.ID() {
				t.Errorf("%+v, want %v", e, want)
			}
		}
	}
	// The next connection may come up before the end of the last one is noticed.
	got := of.await(t, 9)
	up := 0
	for _, what := range got {
		up += map[string]int{"connected": 1, "disconnected": -1}[what]
		if up < 0 {
			t.Errorf("disconnected before connected: %q", got)
		}
	}
	once := []string{"connected", "stream"}
	begun := slices.DeleteFunc(slices.Clone(got), func(what string) bool { return what == "disconnected" })
	if !slices.Equal(begun, slices.Concat(once, once, once)) {
		t.Errorf("%q", got)
	}
}

// Two hosts that connect to each other at once get one connection, and streams that both open at once live on it.
func TestSimultaneousConnect(t *testing.T) {
	for name, cfg := range stacks() {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				hosts := []corehost.Host{newHost(t, cfg), newHost(t, cfg)}
				var diaries []*diary
				var wg sync.WaitGroup
				for _, h := range hosts {
					diaries = append(diaries, newDiary(h))
					h.SetStreamHandler("/echo", func(s network.Stream) {
						defer s.Close()
						_, _ = io.Copy(s, s)
					})
				}
				for i, h := range hosts {
					other := hosts[1-i]
					to := peer.AddrInfo{ID: other.ID(), Addrs: other.Addrs()}
					wg.Go(func() {
						if err := h.Connect(within(t), to); err != nil {
							t.Error(err)
							return
						}
						s, err := h.NewStream(within(t), to.ID, "/echo")
						if err != nil {
							t.Error(err)
							return
						}
						for i := range 5 {
							if err := exchange(s, fmt.Sprintf("%d", i)); err != nil {
								t.Error(err)
							}
						}
						_ = s.Close()
					})
				}
				wg.Wait()
				for i, h := range hosts {
					if n := len(h.Network().Conns()); n != 1 {
						t.Errorf("%d connections", n)
					}
					if got := diaries[i].await(t, 1); !slices.Equal(got, []string{"connected"}) {
						t.Errorf("%q", got)
					}
				}
				for _, h := range hosts {
					_ = h.Close()
				}
			}
		})
	}
}

// exchange writes a text and reads its echo.
func exchange(s network.Stream, text string) error {
	if _, err := s.Write([]byte(text)); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(s, got); err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("got %q, want %q", got, text)
	}
	return nil
}

// A host that hangs up and connects again at once is not refused.
func TestRedial(t *testing.T) {
	for name, cfg := range stacks() {
		t.Run(name, func(t *testing.T) {
			a, b := newHost(t, cfg), newHost(t, cfg)
			for i := range 200 {
				if err := a.Connect(within(t), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
					t.Fatalf("round %d: %v", i, err)
				}
				if err := a.Network().ClosePeer(b.ID()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Handlers are found by name, then by match; they can be replaced and removed, and peers hear of that.
func TestHandlers(t *testing.T) {
	a, b := tcpOnly(t), tcpOnly(t)
	says := func(what string) network.StreamHandler {
		return func(s network.Stream) {
			_, _ = fmt.Fprintf(s, "%s %s", what, s.Protocol())
			_ = s.Close()
		}
	}
	changes, err := a.EventBus().Subscribe(new(event.EvtPeerProtocolsUpdated))
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Close()
	b.SetStreamHandler("/name", says("first"))
	b.SetStreamHandler("/name", says("second"))
	b.SetStreamHandlerMatch("/match", func(p protocol.ID) bool { return len(p) > 0 && p[0] == 'x' }, says("match"))
	connect(t, a, b)
	for pid, want := range map[protocol.ID]string{"/name": "second /name", "/match": "", "x1": "match x1"} {
		s, err := a.NewStream(within(t), b.ID(), pid)
		if want == "" {
			got := ""
			if err == nil { // known by name, but only what matches is served
				_, err = s.Write([]byte("x"))
				var all []byte
				if err == nil {
					all, err = io.ReadAll(s)
				}
				got = string(all)
				_ = s.Reset()
			}
			t.Logf("%s: %q, %v", pid, got, err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(s); string(got) != want || err != nil {
			t.Errorf("%s: %q, %v", pid, got, err)
		}
		_ = s.Close()
	}
	_, err = a.NewStream(within(t), b.ID(), "/other", "/another")
	if !errors.Is(err, multistream.ErrNotSupported[protocol.ID]{}) {
		t.Errorf("a protocol that nobody serves: %v", err)
	}
	b.SetStreamHandler("/late", says("late"))
	b.RemoveStreamHandler("/name")
	var added, removed []protocol.ID
	for !slices.Contains(added, "/late") || !slices.Contains(removed, "/name") {
		e := (<-changes.Out()).(event.EvtPeerProtocolsUpdated)
		added, removed = append(added, e.Added...), append(removed, e.Removed...)
	}
	if got, _ := a.Peerstore().SupportsProtocols(b.ID(), "/late", "/name"); !slices.Equal(got, []protocol.ID{"/late"}) {
		t.Errorf("the peerstore says %q", got)
	}
	if _, err = a.NewStream(within(t), b.ID(), "/name"); !errors.Is(err, multistream.ErrNotSupported[protocol.ID]{}) {
		t.Errorf("a removed protocol: %v", err)
	}
}

// A reset carries its code, to both ends, and the end of a connection is none.
func TestResets(t *testing.T) {
	for name, cfg := range stacks() {
		t.Run(name, func(t *testing.T) {
			a, b := newHost(t, cfg), newHost(t, cfg)
			arrived := make(chan network.Stream, 1)
			b.SetStreamHandler("/p", func(s network.Stream) { arrived <- s })
			connect(t, a, b)
			open := func() (ours, theirs network.Stream) {
				ours, err := a.NewStream(within(t), b.ID(), "/p")
				if err == nil {
					_, err = ours.Write([]byte("x"))
				}
				if err != nil {
					t.Fatal(err)
				}
				theirs = <-arrived
				if _, err := io.ReadFull(theirs, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				return ours, theirs
			}
			ours, theirs := open()
			_ = theirs.ResetWithError(0x42)
			_, err := io.ReadAll(ours)
			if want := (&network.StreamError{ErrorCode: 0x42, Remote: true}); !errors.Is(err, want) ||
				!errors.Is(err, network.ErrReset) {
				t.Errorf("%v, want %v", err, want)
			}
			_ = ours.Reset()
			ours, theirs = open()
			_ = ours.Reset()
			if _, err = io.ReadAll(theirs); !errors.Is(err, &network.StreamError{Remote: true}) {
				t.Error(err)
			}
			if _, err = ours.Read(make([]byte, 1)); !errors.Is(err, network.ErrReset) {
				t.Error(err)
			}
			_ = theirs.Reset()
			ours, theirs = open()
			defer theirs.Reset()
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if _, err = ours.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("a stream of a host that is closed: %v", err)
			}
			if _, err = io.ReadAll(theirs); err == nil {
				t.Error("its other end: no error")
			}
		})
	}
}

// NewStream dials, unless it is told not to.
func TestNewStreamDials(t *testing.T) {
	a, b := tcpOnly(t), tcpOnly(t)
	b.SetStreamHandler("/p", func(s network.Stream) { _ = s.Close() })
	ctx := within(t)
	if _, err := a.NewStream(ctx, b.ID(), "/p"); !errors.Is(err, swarm.ErrNoAddresses) {
		t.Errorf("no address: %v", err)
	}
	a.Peerstore().AddAddrs(b.ID(), b.Addrs(), 1e12)
	if _, err := a.NewStream(network.WithNoDial(ctx, "test"), b.ID(), "/p"); !errors.Is(err, network.ErrNoConn) {
		t.Errorf("no dial: %v", err)
	}
	s, err := a.NewStream(ctx, b.ID(), "/p")
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if err := a.Connect(ctx, peer.AddrInfo{ID: a.ID()}); !errors.Is(err, swarm.ErrDialToSelf) {
		t.Errorf("self: %v", err)
	}
	s, err = a.Network().NewStream(ctx, b.ID())
	if err == nil {
		err = s.SetProtocol("/p")
	}
	if err == nil {
		err = multistream.SelectProtoOrFail[protocol.ID]("/p", s)
	}
	if err == nil {
		_, err = io.ReadAll(s)
	}
	if err != nil {
		t.Errorf("a blank stream: %v", err)
	} else {
		_ = s.Close()
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := b.NewStream(gone, a.ID(), "/p"); err == nil {
		t.Error("a context that has ended: no error")
	}
}
