package host_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// says is a handler that tells its name and the stream's protocol.
func says(name string) host.StreamHandler {
	return func(_ context.Context, _ transport.NodeID, s muxer.Stream) { io.WriteString(s, name+" "+s.Protocol()) }
}

// answer opens a stream and returns what it says, or its error.
func answer(t *testing.T, from, to *hosttest.Node, protocols ...string) string {
	t.Helper()
	s, err := from.Host.OpenStream(t.Context(), to.ID, protocols...)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	text, err := io.ReadAll(s)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// A name goes before a match, and matches in the order in which they were given.
func TestMatchStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := streamPair(t, nil)
		prefix := func(p string) host.StreamOption {
			return host.MatchStreams(func(protocol string) bool { return strings.HasPrefix(protocol, p) })
		}
		for _, h := range []struct {
			name string
			opts []host.StreamOption
		}{{"/x/1", []host.StreamOption{prefix("/x/1.")}}, {"/x", []host.StreamOption{prefix("/x/")}}, {"/x/1.9", nil},
			{"/channels", []host.StreamOption{prefix("/channel/")}}} {
			if err := b.Host.HandleStream(h.name, says(h.name), h.opts...); err != nil {
				t.Fatal(err)
			}
		}
		for protocol, want := range map[string]string{
			"/x/1": "/x/1", "/x/1.2": "/x/1", "/x/1.9": "/x/1.9", "/x/2": "/x", "/x": "/x",
		} {
			if got := answer(t, a, b, protocol); got != want+" "+protocol {
				t.Errorf("%s is served by %q, want %s", protocol, got, want)
			}
		}
		if got := answer(t, a, b, "/y"); !strings.Contains(got, "unknown protocol") {
			t.Errorf("what nobody matches: %q", got)
		}
		if err := b.Host.HandleStream("/bug", says("bug"), host.MatchStreams(func(protocol string) bool {
			if protocol == "/y/bug" {
				panic("a bug")
			}
			return false
		})); err != nil {
			t.Fatal(err)
		}
		if got := answer(t, a, b, "/y/bug"); !strings.Contains(got, "unknown protocol") {
			t.Errorf("a match that panics: %q", got)
		}
		if err := b.Host.HandleStream("/x/1.2", says("late")); err != nil { // a match does not take its names
			t.Error(err)
		}
		b.Host.RemoveStreamHandler("/x/1")
		if got := answer(t, a, b, "/x/1.3"); got != "/x /x/1.3" {
			t.Errorf("after the first match was removed: %q", got)
		}
		if got := answer(t, a, b, "/x/1.2"); got != "late /x/1.2" {
			t.Errorf("a name that was matched before: %q", got)
		}
	})
}

// A node may have any number of handlers. The first ones are told, all are served.
func TestManyHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 1000
		name := func(i int) string { return fmt.Sprintf("/z%s/%d", strings.Repeat("-", 100), many-i) }
		net := hosttest.New(t, hosttest.Options{Speaks: libp2pOnly, Plain: true,
			Services: func(n *hosttest.Node) ([]hosttest.Service, error) {
				for i := range many {
					if err := n.Host.HandleStream(name(i), says("one")); err != nil {
						return nil, err
					}
				}
				return nil, nil
			}})
		a, b := net.Nodes[0], net.Nodes[1]
		a.Dial(b)
		net.AwaitLink(a, b)
		for _, i := range []int{0, 100, many - 1} {
			if got := answer(t, a, b, name(i)); got != "one "+name(i) {
				t.Errorf("handler %d: %q", i, got)
			}
		}
		check := func(when string, least int) {
			t.Helper()
			info, _ := a.Host.Peer(b.ID)
			told := 0
			for told < many && slices.Contains(info.Protocols, name(told)) {
				told++
			}
			if told < least || len(info.Protocols) > told+10 {
				t.Errorf("%s: of %d protocols that the peer tells, %d are the first ones, want %d", when,
					len(info.Protocols), told, least)
			}
		}
		check("in the hello", 64)
		b.Host.RemoveStreamHandler(name(0))
		time.Sleep(time.Minute)
		if info, _ := a.Host.Peer(b.ID); slices.Contains(info.Protocols, name(0)) ||
			!slices.Contains(info.Protocols, name(20)) {
			t.Error("an identify push of many protocols does not arrive")
		}
	})
}

// Of several protocols the first one that the peer is known to speak is the only offer: nothing waits for an answer.
func TestKnownProtocolIsOffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := hosttest.New(t, hosttest.Options{Speaks: libp2pOnly, Plain: true,
			Services: func(n *hosttest.Node) ([]hosttest.Service, error) {
				return nil, n.Host.HandleStream("/told", says("told"),
					host.MatchStreams(func(p string) bool { return p == "/untold" }))
			}})
		a, b := net.Nodes[0], net.Nodes[1]
		a.Dial(b)
		net.AwaitLink(a, b)
		if got := answer(t, a, b, "/neither", "/told", "/untold"); got != "told /told" {
			t.Errorf("%q", got)
		}
		s, err := a.Host.OpenStream(t.Context(), b.ID, "/neither", "/untold", "/told")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if s.Protocol() != "/told" { // what is only matched is not told
			t.Errorf("%q is offered", s.Protocol())
		}
		_, err = s.Write([]byte("x"))
		if took := time.Since(began); took > 0 || err != nil {
			t.Errorf("the first write took %v (%v)", took, err)
		}
		_ = s.Close()
		if got := answer(t, a, b, "/neither", "/untold"); got != "told /untold" { // agreed on as ever
			t.Errorf("%q", got)
		}
	})
}
