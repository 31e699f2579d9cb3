package interop

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/p2p"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/discovery/crawl"
	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
	"github.com/switchyard-p2p/switchyard/internal/interop/node"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// lockedBuffer is a log that many write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSpace(l.b.String()), "\n")
}

// bad matches a word with "bad" in it; the hexadecimal id of a node has digits, too.
var bad = regexp.MustCompile(`(?i)\b[a-z]*bad[a-z]*\b`)

// TestCrawl crawls fifty nodes on the comet wire, each at an IP of its own: fifteen CometBFT switches, of which one is
// a seed, and ours. All are mapped within 15 s, the edges are what each knows, and the switches log nothing but that a
// peer has gone.
func TestCrawl(t *testing.T) {
	const count, real = 50, 15
	var logs lockedBuffer
	var addresses []transport.Address
	var learn []func(transport.Address)
	var comets []*cometpeer.Node
	for i := range count {
		ip := fmt.Sprintf("127.%d.%d.1", 40+i/10, 1+i)
		if i < real {
			c := cometpeer.Start(t, cometpeer.Config{
				Network: network, Moniker: fmt.Sprintf("comet-%d", i), IP: ip, Seed: i == 1,
				Logger: log.NewTMLogger(&logs),
				Tune:   func(pc *config.P2PConfig) { pc.MaxNumOutboundPeers = 0 }})
			comets = append(comets, c)
			a, err := transport.ParseAddress(c.Address())
			if err != nil {
				t.Fatal(err)
			}
			addresses = append(addresses, a)
			learn = append(learn, func(a transport.Address) {
				to, err := p2p.NewNetAddressString(a.CometString())
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Book.AddAddress(to, to); err != nil {
					t.Fatal(err)
				}
			})
			continue
		}
		n := node.Start(t, node.Config{Network: network, Moniker: fmt.Sprintf("ours-%d", i), PEX: &pex.Config{},
			Tune: func(c *host.Config) {
				c.Listen = []ma.Multiaddr{ma.StringCast("/ip4/" + ip + "/tcp/0")}
				c.Peers.MaxOutbound = -1
			}})
		addresses = append(addresses, n.Address())
		learn = append(learn, func(a transport.Address) {
			n.Host.PeerManager().Add(a, peerstore.Source{Kind: peerstore.SourceConfig})
		})
	}
	want := map[transport.NodeID]map[transport.NodeID]bool{}
	for i, a := range addresses {
		told := map[transport.NodeID]bool{}
		for _, k := range []int{1, 2, 3, 5, 8, 13, 21, 34} {
			to := addresses[(i+k)%count]
			learn[i](to)
			told[to.ID()] = true
		}
		want[a.ID()] = told
	}
	began := time.Now()
	m := crawlFrom(t, addresses[0], 15*time.Second)
	t.Logf("%d nodes, %d edges in %v", len(m.Nodes), len(m.Edges), time.Since(began))
	if m.Summary.Partial {
		t.Errorf("not done within 15 s: %+v", m.Summary)
	}
	got := map[transport.NodeID]map[transport.NodeID]bool{}
	for _, e := range m.Edges {
		if got[e.From] == nil {
			got[e.From] = map[transport.NodeID]bool{}
		}
		got[e.From][e.To] = true
	}
	if len(m.Nodes) != count || m.Summary.Here != count {
		t.Errorf("%d nodes: %v", len(m.Nodes), m.Summary.States)
	}
	for i, a := range addresses {
		if !maps.Equal(got[a.ID()], want[a.ID()]) {
			t.Errorf("node %d told of %d nodes, want %d", i, len(got[a.ID()]), len(want[a.ID()]))
		}
	}
	for _, n := range m.Nodes {
		at := slices.IndexFunc(addresses, func(a transport.Address) bool { return a.ID() == n.ID })
		if at < 0 || n.Info == nil || n.Info.Network != network ||
			n.Info.Moniker != fmt.Sprintf([]string{"ours-%d", "comet-%d"}[map[bool]int{true: 1}[at < real]], at) {
			t.Errorf("%s: %+v", n.ID, n.Info)
		}
	}
	waitFor(t, 10*time.Second, "no switch has a peer", func() bool {
		return !slices.ContainsFunc(comets, func(c *cometpeer.Node) bool { return c.Switch.Peers().Size() > 0 })
	})
	for _, c := range comets {
		if n := c.Book.Size(); n != 8 {
			t.Errorf("%s has %d addresses in its book", c.Info.Moniker, n)
		}
	}
	for _, l := range logs.lines() {
		if strings.HasPrefix(l, "E[") && !strings.Contains(l, "Stopping peer for error") || bad.MatchString(l) {
			t.Error(l)
		}
	}
}

// crawlFrom crawls from a seed, for so long at most.
func crawlFrom(t *testing.T, seed transport.Address, most time.Duration) *crawl.Map {
	t.Helper()
	key, err := handshake.GenerateNodeKey()
	if err != nil {
		t.Fatal(err)
	}
	wire, err := node.Wire(key, mconn.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := crawl.New(crawl.Config{Transports: []transport.Transport{node.TCP()}, Wires: []handshake.Wire{wire},
		Key: key.Public(), Seeds: []transport.Address{seed}, Contact: "interop"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	if err := c.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return c.Map()
}

// A CometBFT switch without room tells what it is before it hangs up: it is full, not dead.
func TestCrawlFull(t *testing.T) {
	full := cometpeer.Start(t, cometpeer.Config{Network: network, IP: "127.77.1.1",
		Tune: func(pc *config.P2PConfig) { pc.MaxNumInboundPeers = 0 }})
	a, err := transport.ParseAddress(full.Address())
	if err != nil {
		t.Fatal(err)
	}
	m := crawlFrom(t, a, 2*time.Second) // it is visited again after half a minute
	if len(m.Nodes) != 1 || m.Nodes[0].State != crawl.FullUp || m.Nodes[0].Info.Moniker != full.Info.Moniker {
		t.Errorf("%+v", m.Nodes)
	}
}
