package host_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// logLines keeps what the nodes of a network log at level info and above: "node LEVEL message key=value ...".
type logLines struct {
	mu    sync.Mutex
	lines []string
}

// logTo makes l the log of a network.
func (l *logLines) logTo(o *hosttest.Options) { o.Logger = slog.New(lineHandler{l, ""}) }

// of returns the lines of a node that contain a text, and forgets all lines.
func (l *logLines) of(n *hosttest.Node, text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.HasPrefix(line, n.Name+" ") && strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	l.lines = nil
	return found
}

type lineHandler struct {
	to   *logLines
	node string
}

func (h lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (h lineHandler) WithGroup(string) slog.Handler                { return h }
func (h lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == "node" {
			h.node = a.Value.String()
		}
	}
	return h
}

func (h lineHandler) Handle(_ context.Context, r slog.Record) error {
	line := fmt.Sprintf("%s %s %s", h.node, r.Level, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	h.to.mu.Lock()
	defer h.to.mu.Unlock()
	h.to.lines = append(h.to.lines, line)
	return nil
}

// want checks the number of lines, and that each contains all texts.
func want(t *testing.T, lines []string, n int, texts ...string) {
	t.Helper()
	if len(lines) != n {
		t.Errorf("%d lines, want %d with %q:\n%s", len(lines), n, texts, strings.Join(lines, "\n"))
	}
	for _, line := range lines {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				t.Errorf("%q lacks %q", line, text)
			}
		}
	}
}

func TestTheLogTellsOfLinksAndBans(t *testing.T) {
	var log logLines
	o := hosttest.Options{KnowFirst: true}
	log.logTo(&o)
	inNet(t, o, func(t *testing.T, net *hosttest.Network) {
		a, b := net.Nodes[0], net.Nodes[1]
		net.AwaitConnected()
		want(t, log.of(a, "peer up"), 1, " INFO ", "peer="+string(b.ID), "inbound=true")
		target := peerstore.Target{ID: b.ID}
		if err := a.Host.Ban(target, time.Now().Add(time.Hour), "spam"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		lines := log.of(a, "")
		want(t, slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !strings.Contains(l, " ban ") }), 1,
			" INFO ", "target="+string(b.ID), "reason=until ", ": spam")
		want(t, slices.DeleteFunc(lines, func(l string) bool { return !strings.Contains(l, "peer down") }), 1,
			" INFO ", "peer="+string(b.ID), "after=", "reason=banned: spam")
		if _, err := a.Host.Unban(target); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		want(t, log.of(a, "unban"), 1, " INFO ", "target="+string(b.ID))
		a.Host.Report(b.ID, host.Behaviour{Severity: host.Ban, Reason: "lies"})
		time.Sleep(time.Second)
		want(t, log.of(a, " ban "), 1, " INFO ", "target="+string(b.ID), ": lies")
	})
}

func TestTheLogWarnsOfAPersistentPeer(t *testing.T) {
	var log logLines
	o := hosttest.Options{Stopped: true, Tune: func(n *hosttest.Node, c *host.Config) {
		if n.Index == 0 {
			c.Peers.Persistent = []transport.Address{hosttest.AddressOf(n, 1)}
		}
	}}
	log.logTo(&o)
	inNet(t, o, func(t *testing.T, net *hosttest.Network) {
		a, b := net.Nodes[0], net.Nodes[1]
		a.Start()
		const msg = "a configured peer cannot be linked"
		for range 3 { // an hour each, in which it is dialed 60 times
			time.Sleep(time.Hour)
			want(t, log.of(a, msg), 1, " WARN ", "peer="+string(b.ID), "reason=transport: ", "next_try=2000-01-01 ")
		}
		b.Start()
		net.AwaitLink(a, b)
		time.Sleep(time.Minute)
		log.of(a, "")
		b.Stop()
		time.Sleep(30 * time.Minute)
		want(t, log.of(a, msg), 1)

		if err := a.Host.Ban(peerstore.Target{ID: b.ID}, time.Time{}, "old quarrel"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			time.Sleep(time.Hour)
			want(t, log.of(a, "a persistent peer is banned"), 1, " WARN ", "peer="+string(b.ID), "reason=old quarrel")
		}
	})
}

func TestTheLogWarnsOfAPeerThatIsNeverDialed(t *testing.T) {
	var log logLines
	const id = "12D3KooWJ8Ak99GuLuVPRG9yRBV7AaF8i8zX4mQBH6csnHBNDjH6"
	ws, err := transport.ParseAddress("/ip4/1.2.3.4/tcp/443/ws/p2p/" + id)
	if err != nil {
		t.Fatal(err)
	}
	o := hosttest.Options{Nodes: 1, Tune: func(_ *hosttest.Node, c *host.Config) {
		c.Peers.Persistent = []transport.Address{ws}
	}}
	log.logTo(&o)
	inNet(t, o, func(t *testing.T, net *hosttest.Network) {
		time.Sleep(5 * time.Minute)
		want(t, log.of(net.Nodes[0], "a configured peer cannot be linked"), 1, " WARN ", "peer="+string(ws.ID()),
			"reason=this node cannot dial its addresses")
	})
}

func TestTheLogWarnsOfLoneliness(t *testing.T) {
	var log logLines
	o := hosttest.Options{KnowFirst: true, Stopped: true}
	log.logTo(&o)
	inNet(t, o, func(t *testing.T, net *hosttest.Network) {
		a, b := net.Nodes[0], net.Nodes[1]
		a.Start()
		time.Sleep(55 * time.Second)
		want(t, log.of(a, "no peers"), 0)
		for range 2 {
			time.Sleep(time.Hour)
			want(t, log.of(a, "no peers"), 1, " WARN ", "known=0")
		}
		b.Start()
		net.AwaitLink(a, b)
		time.Sleep(time.Hour)
		want(t, log.of(a, "no peers"), 0)
		b.Stop()
		time.Sleep(2 * time.Minute)
		want(t, log.of(a, "no peers"), 1, " WARN ", "known=1")
	})
}

func TestTheLogWarnsOfASecondNodeWithOurKey(t *testing.T) {
	var log logLines
	o := hosttest.Options{Nodes: 3, Stopped: true}
	log.logTo(&o)
	inNet(t, o, func(t *testing.T, net *hosttest.Network) {
		a, clone, c := net.Nodes[0], net.Nodes[1], net.Nodes[2]
		clone.Key = a.Key
		a.Start()
		clone.Start()
		// a's address, under another node's id
		there, err := transport.NewAddress(a.Address().Multiaddr(), string(c.ID))
		if err != nil {
			t.Fatal(err)
		}
		dial := func(n *hosttest.Node) {
			if _, err := n.Host.Dial(t.Context(), there); !isSelf(err) {
				t.Errorf("got %v", err)
			}
			time.Sleep(time.Minute)
		}
		dial(a) // itself: no second node
		want(t, log.of(a, "our key"), 0)
		dial(clone)
		want(t, log.of(a, "our key"), 1, " WARN ", "address=")
	})
}

func isSelf(err error) bool {
	return err != nil && strings.Contains(err.Error(), muxer.CodeSelf.String())
}

func TestTheLogWarnsOfForgottenPeers(t *testing.T) {
	var log logLines
	var store peerstore.Store
	o := hosttest.Options{Nodes: 1, Tune: func(_ *hosttest.Node, c *host.Config) {
		store = c.Store
		c.Peers.MaxOutbound = -1
		for i := range 1000 {
			store.Add(strangerAt(i), peerstore.Source{Kind: "test"}, time.Now())
		}
	}}
	log.logTo(&o)
	inNet(t, o, func(t *testing.T, net *hosttest.Network) {
		time.Sleep(5*time.Minute + 5*time.Second) // between two checks
		before := store.Stats().Known
		for i := range 1000 {
			if i%2 == 0 {
				store.Remove(strangerAt(i).ID())
			}
		}
		now := store.Stats().Known
		time.Sleep(5 * time.Minute)
		want(t, log.of(net.Nodes[0], "many peers were forgotten"), 1, " WARN ",
			fmt.Sprintf("before=%d now=%d", before, now))
	})
}

func strangerAt(n int) transport.Address {
	a, err := transport.ParseAddress(fmt.Sprintf("/ip4/%d.%d.1.1/tcp/26656/mconn/%040x", 1+n/200, n%200, n+1))
	if err != nil {
		panic(err)
	}
	return a
}
