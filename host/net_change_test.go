package host_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// changeLog holds what a node hears of its peers' protocols.
type changeLog struct {
	mu    sync.Mutex
	began []string // at the hook of OnPeer
	told  [][]string
	after bool // a call began behind the end
	block chan struct{}
	once  sync.Once

	peering *host.Peering
}

// hook is an OnPeer hook.
func (c *changeLog) hook(p *host.Peering) {
	p.OnChange(func(i host.PeerInfo) {
		c.mu.Lock()
		c.told = append(c.told, i.Protocols)
		c.after = c.after || p.Reason() != nil
		c.mu.Unlock()
		if c.block != nil {
			<-c.block
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.began, c.peering = p.Info().Protocols, p
}

// calls returns how many calls there were.
func (c *changeLog) calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.told)
}

// knows reports whether the latest that was heard has the protocol.
func (c *changeLog) knows(protocol string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	latest := c.began
	if len(c.told) > 0 {
		latest = c.told[len(c.told)-1]
	}
	return slices.Contains(latest, protocol)
}

// changing are two nodes over libp2p, of which the first one listens to the second one's changes.
func changing(t *testing.T, c *changeLog, o hosttest.Options, fn func(t *testing.T, net *hosttest.Network)) {
	t.Helper()
	o.Speaks = func(*hosttest.Node) []string { return []string{transport.WireLibp2p} }
	o.Services = func(n *hosttest.Node) ([]hosttest.Service, error) {
		if n.Index == 0 {
			return nil, n.Host.OnPeer(c.hook)
		}
		return nil, nil
	}
	inNet(t, o, fn)
}

func serve(t *testing.T, n *hosttest.Node, protocol string) {
	t.Helper()
	if err := n.Host.HandleStream(protocol, func(_ context.Context, _ transport.NodeID, s muxer.Stream) {
		_ = s.Close()
	}); err != nil {
		t.Fatal(err)
	}
}

// Changes of a peer's protocols and addresses are told in order, with an event each, and PeerInfo has them.
func TestOnChange(t *testing.T) {
	c := &changeLog{}
	changing(t, c, hosttest.Options{}, func(t *testing.T, net *hosttest.Network) {
		a, b := net.Nodes[0], net.Nodes[1]
		a.Dial(b)
		for i := range 3 {
			time.Sleep(10 * time.Second)
			serve(t, b, fmt.Sprintf("/new/%d", i))
			time.Sleep(time.Second)
			if !c.knows(fmt.Sprintf("/new/%d", i)) || c.calls() != i+1 {
				t.Fatalf("after %d changes: %q", i+1, c.told)
			}
		}
		b.Host.Reach.Map([]ma.Multiaddr{ma.StringCast("/ip4/9.9.9.9/tcp/9")})
		time.Sleep(10 * time.Second)
		info, _ := a.Host.Peer(b.ID)
		if c.calls() != 4 || !slices.Contains(info.Listen, "/ip4/9.9.9.9/tcp/9") {
			t.Errorf("%d changes, the peer listens on %q", c.calls(), info.Listen)
		}
		events := a.Events(host.EventChanged)
		if len(events) != 4 || events[0].ID != b.ID || events[0].Address != b.Address().String() {
			t.Errorf("events: %+v", events)
		}
		if recent := a.Host.Journal().Recent(); recent.Dials != 1 || recent.DialsFailed != 0 {
			t.Errorf("a change counts as a dial: %+v", recent)
		}
		a.Host.Disconnect(b.ID, muxer.CodeRequested, "enough")
		_ = a.Host.WaitDown(t.Context(), b.ID)
		serve(t, b, "/too/late")
		time.Sleep(10 * time.Second)
		if c.calls() != 4 || c.after {
			t.Errorf("%d changes; behind the end: %v", c.calls(), c.after)
		}
	})
}

// A function that is busy, or panics, misses nothing in the end, and does not hold up the peer.
func TestOnChangeThatIsSlow(t *testing.T) {
	c := &changeLog{}
	changing(t, c, hosttest.Options{}, func(t *testing.T, net *hosttest.Network) {
		a, b := net.Nodes[0], net.Nodes[1]
		c.block = make(chan struct{})
		defer c.once.Do(func() { close(c.block) })
		a.Dial(b)
		for i := range 5 {
			serve(t, b, fmt.Sprintf("/new/%d", i))
			time.Sleep(10 * time.Second)
		}
		if info, _ := a.Host.Peer(b.ID); !slices.Contains(info.Protocols, "/new/4") {
			t.Errorf("the peer has %q", info.Protocols)
		}
		if c.calls() != 1 {
			t.Fatalf("%d calls at once", c.calls())
		}
		c.once.Do(func() { close(c.block) })
		synctest.Wait()
		if c.calls() != 2 || !c.knows("/new/4") {
			t.Errorf("in the end: %q", c.told)
		}
		var calls atomic.Int32
		c.peering.OnChange(func(host.PeerInfo) {
			calls.Add(1)
			panic("for the test")
		})
		synctest.Wait()
		serve(t, b, "/last")
		time.Sleep(10 * time.Second)
		if calls.Load() != 2 || !c.knows("/last") {
			t.Errorf("%d calls; %q", calls.Load(), c.told)
		}
	})
}

// A protocol that a node gets at any moment around the beginning of a link is known to the other end soon after,
// whichever of them has dialed.
func TestNoChangeIsLostAtTheBeginning(t *testing.T) {
	const latency = 20 * time.Millisecond
	for _, theyDial := range []bool{false, true} {
		for wait := time.Duration(0); wait < 20*latency; wait += latency / 4 {
			c := &changeLog{}
			changing(t, c, hosttest.Options{Conditions: memory.Conditions{Latency: latency}},
				func(t *testing.T, net *hosttest.Network) {
					a, b := net.Nodes[0], net.Nodes[1]
					from, to := a, b
					if theyDial {
						from, to = b, a
					}
					from.Learn(to)
					time.Sleep(wait)
					serve(t, b, "/just/now")
					b.Host.Reach.Map([]ma.Multiaddr{ma.StringCast("/ip4/9.9.9.9/tcp/9")})
					net.AwaitLink(a, b)
					time.Sleep(time.Second)
					info, _ := a.Host.Peer(b.ID)
					if !c.knows("/just/now") || !slices.Contains(info.Protocols, "/just/now") ||
						!slices.Contains(info.Listen, "/ip4/9.9.9.9/tcp/9") {
						t.Errorf("they dial: %v; %v after that: %q, then %q", theyDial, wait, c.began, c.told)
					}
				})
		}
	}
}
