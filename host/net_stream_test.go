package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

func libp2pOnly(*hosttest.Node) []string { return []string{transport.WireLibp2p} }

// streamPair is two linked nodes that speak libp2p; tune may change their configuration.
func streamPair(t *testing.T, tune func(*hosttest.Node, *host.Config)) (a, b *hosttest.Node) {
	t.Helper()
	net := hosttest.New(t, hosttest.Options{Speaks: libp2pOnly, Plain: true, Tune: tune})
	net.Nodes[0].Dial(net.Nodes[1])
	net.AwaitLink(net.Nodes[0], net.Nodes[1])
	return net.Nodes[0], net.Nodes[1]
}

func handle(t *testing.T, n *hosttest.Node, protocol string, h host.StreamHandler) {
	t.Helper()
	if err := n.Host.HandleStream(protocol, h); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, from, to *hosttest.Node, protocol string) muxer.Stream {
	t.Helper()
	s, err := from.Host.OpenStream(t.Context(), to.ID, protocol)
	if err == nil {
		_, err = s.Read(nil) // until the peer has taken it
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A stream either way: the handler is told from whom, half-close leaves the other direction open, a reset ends both,
// deadlines end reads.
func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := streamPair(t, nil)
		for _, end := range [][2]*hosttest.Node{{a, b}, {b, a}} {
			from, to := end[0], end[1]
			broken := make(chan error, 1)
			handle(t, to, "/upper/1", func(_ context.Context, who transport.NodeID, s muxer.Stream) {
				if who != from.ID || s.Protocol() != "/upper/1" {
					t.Errorf("a stream of %s from %s", s.Protocol(), who)
				}
				text, err := io.ReadAll(s)
				if err != nil {
					broken <- err
					return
				}
				io.WriteString(s, strings.ToUpper(string(text)))
			})
			s := open(t, from, to, "/upper/1")
			io.WriteString(s, "hello")
			_ = s.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a read beyond its deadline: %v", err)
			}
			_ = s.SetReadDeadline(time.Time{})
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
			if got, err := io.ReadAll(s); string(got) != "HELLO" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			_ = s.Close()

			s = open(t, from, to, "/upper/1")
			_ = s.Reset(muxer.CodeRequested)
			if err := <-broken; err == nil {
				t.Error("a reset stream ended like any other")
			}
			if _, err := s.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("read of a stream that we have reset: %v", err)
			}
		}
	})
}

// What cannot be opened says why.
func TestStreamErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := streamPair(t, nil)
		ctx := t.Context()
		if _, err := a.Host.OpenStream(ctx, "nobody", "/x"); !errors.Is(err, host.ErrNotConnected) {
			t.Errorf("to nobody: %v", err)
		}
		refused := func(what string) {
			t.Helper()
			s, err := a.Host.OpenStream(ctx, b.ID, "/x")
			if err == nil {
				_, err = s.Read(nil)
			}
			if !errors.Is(err, muxer.ErrUnknownProtocol) {
				t.Errorf("%s: %v", what, err)
			}
		}
		refused("a protocol that nobody has")
		nothing := func(context.Context, transport.NodeID, muxer.Stream) {}
		handle(t, b, "/x", nothing)
		for name, h := range map[string]host.StreamHandler{"/x": nothing, "/none": nil, "": nothing,
			"/with space": nothing, strings.Repeat("x", 200): nothing,
			"/channel/0x70/1.0.0": nothing} {
			if err := b.Host.HandleStream(name, h); err == nil {
				t.Errorf("the protocol %q was taken", name)
			}
		}
		_ = open(t, a, b, "/x").Close()
		if !b.Host.RemoveStreamHandler("/x") || b.Host.RemoveStreamHandler("/x") {
			t.Error("a handler is removed once")
		}
		refused("a protocol that was removed")
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := a.Host.OpenStream(cancelled, b.ID, "/x"); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		net := hosttest.New(t, hosttest.Options{Plain: true})
		net.Nodes[0].Dial(net.Nodes[1])
		if _, err := net.Nodes[0].Host.OpenStream(t.Context(), net.Nodes[1].ID, "/x"); !errors.Is(err,
			host.ErrNoStreams) {
			t.Errorf("over comet: %v", err)
		}
	})
}

// A handler that panics loses its stream, and nothing else.
func TestAPanicTakesOneStreamDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := streamPair(t, nil)
		handle(t, b, "/panic", func(context.Context, transport.NodeID, muxer.Stream) { panic("a bug") })
		handle(t, b, "/fine", func(_ context.Context, _ transport.NodeID, s muxer.Stream) { io.Copy(s, s) })
		fine := open(t, a, b, "/fine")
		s, err := a.Host.OpenStream(t.Context(), b.ID, "/panic")
		if err == nil { // the reset may be faster than the agreement
			_, err = s.Read(make([]byte, 1))
		}
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("the stream of a handler that panicked: %v", err)
		}
		io.WriteString(fine, "ok")
		if _, err := io.ReadFull(fine, make([]byte, 2)); err != nil {
			t.Errorf("another stream: %v", err)
		}
		_ = fine.Close()
	})
}

// One peer has so many streams of a protocol, and so many in all; further ones are reset, and there is room again when
// one ends.
func TestStreamLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := streamPair(t, func(_ *hosttest.Node, c *host.Config) {
			c.Limits.ProtocolStreams, c.Limits.PeerStreams = 3, 5
		})
		echo := func(_ context.Context, _ transport.NodeID, s muxer.Stream) { io.Copy(s, s) }
		for _, p := range []string{"/one", "/two"} {
			handle(t, b, p, echo)
		}
		var streams []muxer.Stream
		works := func(p string) bool {
			s, err := a.Host.OpenStream(t.Context(), b.ID, p)
			if err != nil { // the reset may be faster than the agreement
				return false
			}
			streams = append(streams, s)
			io.WriteString(s, "x")
			_, err = io.ReadFull(s, make([]byte, 1))
			return err == nil
		}
		for _, p := range []string{"/one", "/two"} {
			for i := range 5 {
				want := p == "/one" && i < 3 || p == "/two" && i < 2
				if got := works(p); got != want {
					t.Errorf("stream %d of %s: works %v", i, p, got)
				}
			}
		}
		_ = streams[0].CloseWrite()
		io.ReadAll(streams[0])
		_ = streams[0].Close()
		synctest.Wait()
		if !works("/two") {
			t.Error("there is room again, and a stream was refused")
		}
		for _, s := range streams {
			_ = s.Close()
		}
	})
}

// Handlers end with their link: their context does, and reads and writes fail.
func TestHandlersEndWithTheLink(t *testing.T) {
	for _, how := range []string{"the link", "the host", "the other host"} {
		synctest.Test(t, func(t *testing.T) {
			a, b := streamPair(t, nil)
			var wg sync.WaitGroup
			wg.Add(2)
			handle(t, b, "/reads", func(_ context.Context, _ transport.NodeID, s muxer.Stream) {
				defer wg.Done()
				if _, err := s.Read(make([]byte, 1)); err == nil {
					t.Error("a read of nothing succeeded")
				}
			})
			handle(t, b, "/waits", func(ctx context.Context, _ transport.NodeID, s muxer.Stream) {
				defer wg.Done()
				<-ctx.Done()
				if _, err := s.Write([]byte("x")); err == nil {
					t.Error("a write to a link that has ended succeeded")
				}
			})
			reads, waits := open(t, a, b, "/reads"), open(t, a, b, "/waits")
			synctest.Wait()
			switch how {
			case "the link":
				b.Host.Disconnect(a.ID, muxer.CodeRequested, "test")
			case "the host":
				b.Stop()
			case "the other host":
				a.Stop()
			}
			wg.Wait()
			if _, err := reads.Read(make([]byte, 1)); err == nil {
				t.Error("a read from a link that has ended succeeded")
			}
			_ = waits.Close()
		})
	}
}

// A handler that ignores its context keeps neither its peer nor the host.
func TestAHandlerThatIgnoresItsEndIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var log bytes.Buffer
		net := hosttest.New(t, hosttest.Options{Speaks: libp2pOnly, Plain: true,
			Logger: slog.New(slog.NewTextHandler(&lockedWriter{&mu, &log}, nil))})
		a, b := net.Nodes[0], net.Nodes[1]
		a.Dial(b)
		net.AwaitLink(a, b)
		release := make(chan struct{})
		var wg sync.WaitGroup
		wg.Add(2)
		handle(t, b, "/stuck", func(context.Context, transport.NodeID, muxer.Stream) {
			defer wg.Done()
			<-release
		})
		open(t, a, b, "/stuck")
		time.Sleep(time.Second)
		b.Host.Disconnect(a.ID, muxer.CodeRequested, "test")
		time.Sleep(10 * time.Second)
		if _, ok := b.Host.Peer(a.ID); ok || len(b.Events(host.EventDown)) != 1 {
			t.Error("the peer is still listed")
		}
		mu.Lock()
		if !strings.Contains(log.String(), "ignores the end of its link") || !strings.Contains(log.String(), "/stuck") {
			t.Errorf("no warning:\n%s", &log)
		}
		mu.Unlock()
		b.Dial(a)
		net.AwaitLink(a, b)
		open(t, a, b, "/stuck")
		time.Sleep(time.Second)
		began := time.Now()
		b.Stop()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the host stopped after %v", took)
		}
		close(release)
		wg.Wait()
	})
}

// What a node handles is told in the handshake, and to those that are connected when it changes.
func TestProtocolsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := hosttest.New(t, hosttest.Options{Speaks: libp2pOnly, Plain: true,
			Services: func(n *hosttest.Node) ([]hosttest.Service, error) {
				return nil, n.Host.HandleStream("/early", func(context.Context, transport.NodeID, muxer.Stream) {})
			}})
		a, b := net.Nodes[0], net.Nodes[1]
		a.Dial(b)
		net.AwaitLink(a, b)
		has := func(n, of *hosttest.Node, protocol string) bool {
			info, _ := n.Host.Peer(of.ID)
			return strings.Contains(strings.Join(info.Protocols, " "), protocol)
		}
		if !has(a, b, "/early") || !has(b, a, "/early") || has(a, b, "/late") {
			t.Error("a protocol that was there before the handshake was not told")
		}
		nothing := func(context.Context, transport.NodeID, muxer.Stream) {}
		for i := range 20 { // more than the remote takes pushes, were they not put together
			handle(t, a, fmt.Sprintf("/late/%d", i), nothing)
			time.Sleep(30 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		if !has(b, a, "/late/0") || !has(b, a, "/late/19") || !has(b, a, "/early") {
			t.Error("new protocols were not told")
		}
		for i := range 20 {
			a.Host.RemoveStreamHandler(fmt.Sprintf("/late/%d", i))
		}
		time.Sleep(time.Minute)
		if has(b, a, "/late") || !has(b, a, "/early") {
			t.Error("removed protocols were not told")
		}
	})
}
