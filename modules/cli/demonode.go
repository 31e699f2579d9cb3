package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/host/echo"
	"github.com/switchyard-p2p/switchyard/host/relay"
	"github.com/switchyard-p2p/switchyard/internal/stock"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/chain"
	"github.com/switchyard-p2p/switchyard/modules/cli/live"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// demoNode is a node of the demo. It has lives: one from each start to the stop that follows.
type demoNode struct {
	net    *demoNet
	number int
	kind   demoKind
	home   string
	first  chan struct{} // closed once its first life listens; what follows is set then
	revive chan struct{} // asks for the next life

	id     transport.NodeID
	listen []string // where its first life listens; the others listen there, too
	bound  []string // the same with its ids
	page   string   // host:port of its admin API

	mu      sync.Mutex // guards what follows
	life    *demoLife  // nil while it does not run
	kill    func()     // ends life
	stopped time.Time  // when the last life ended
	back    time.Time  // when it is revived; zero: nobody knows
	pageURL string     // of the last life
	echoes  demoEchoes
	trend   []float64 // of its traffic, a value a second
}

// demoLife is a node that runs.
type demoLife struct {
	host  *host.Host
	store peerstore.Store
	admin *admin.Server
	echo  *echo.Service
	chain *chain.Service
	relay *relay.Service
}

// demoEchoes counts what came back.
type demoEchoes struct {
	sent, returned, failed int
	rtt                    time.Duration // smoothed
}

func newDemoNode(net *demoNet, number int, kind demoKind, home string) *demoNode {
	return &demoNode{net: net, number: number, kind: kind, home: home, first: make(chan struct{}),
		revive: make(chan struct{}, 1)}
}

// run lives until ctx ends: from the start, and again from each revive on. seed are the addresses of the first node,
// none for the first node itself.
func (n *demoNode) run(ctx context.Context, seed []string) error {
	for again := false; ; again = true {
		err := n.live(ctx, seed)
		if err != nil && ctx.Err() == nil && again {
			n.net.tell(live.LineDown, "node %d does not start: %v", n.number, err)
		} else if err != nil {
			return fmt.Errorf("node %d: %w", n.number, err)
		}
		n.mu.Lock()
		n.life, n.kill, n.stopped = nil, nil, time.Now()
		n.mu.Unlock()
		select {
		case <-n.revive:
		case <-ctx.Done():
			return nil
		}
	}
}

// config returns the configuration of the next life.
func (n *demoNode) config(seed []string) modules.Config {
	cfg := n.kind.config()
	cfg.Home, cfg.Moniker, cfg.Version = n.home, fmt.Sprintf("demo-%d", n.number), n.net.program.agent()
	for _, service := range []string{"echo", "chain", "relay"} {
		cfg.Services[service] = modules.Table{"enabled": true}
	}
	if len(seed) > 0 {
		cfg.Peers.Bootstrap = []string{seed[max(0, slices.IndexFunc(seed, n.kind.dials))]}
	}
	switch {
	case n.listen != nil:
		cfg.Listen.Addresses, cfg.Admin.Address = n.listen, n.page
	case n.number == 1 && isFree(modules.Default().Admin.Address):
		cfg.Admin.Address = modules.Default().Admin.Address
	}
	return cfg
}

// live runs one life, until ctx ends or somebody kills it.
func (n *demoNode) live(ctx context.Context, seed []string) error {
	ctx, kill := context.WithCancel(ctx)
	defer kill()
	life := &demoLife{}
	blocks := chain.Config{}
	if len(seed) == 0 {
		blocks.Store = n.net.blocks.store
	}
	list := modules.With(n.net.program.Plugins, modules.Service("echo", func() (c echo.Config) { return c },
		func(cfg echo.Config, h *host.Host, log *slog.Logger) (*echo.Service, error) {
			s, err := stock.Echo(cfg, h, log)
			life.echo = s
			return s, err
		}), modules.HomeService("chain", func() chain.Config { return blocks },
		func(cfg chain.Config, h *host.Host, home string, log *slog.Logger) (*chain.Service, error) {
			s, err := chain.New(cfg, h, home, log)
			life.chain = s
			return s, err
		}), modules.Service("relay", relay.DefaultService,
		func(cfg relay.ServiceConfig, h *host.Host, log *slog.Logger) (*relay.Service, error) {
			s, err := relay.NewService(cfg, h, log)
			life.relay = s
			return s, err
		}), n.net.page())
	// What the life does besides: it ends before the node stops.
	var parts sync.WaitGroup
	working, stop := context.WithCancel(ctx)
	defer stop()
	return modules.Run(ctx, modules.Node(n.config(seed), list...), fx.Populate(&life.host, &life.store, &life.admin),
		fx.Invoke(func(lc fx.Lifecycle) {
			lc.Append(fx.StartStopHook(func() {
				n.up(life, kill, seed)
				events, items := life.host.Events(context.WithoutCancel(ctx)), life.relay.Topic("").Subscribe(0)
				parts.Go(func() { n.net.follow(working, n, life, events) })
				parts.Go(func() { n.receive(working, items) })
				parts.Go(func() { n.call(working, life) })
				parts.Go(func() { _ = life.chain.Sync(working, n.net.blocks.target, nil) }) // the screen shows how far
			}, func() {
				stop()
				parts.Wait()
			}))
		}))
}

// up makes a life the node's.
func (n *demoNode) up(life *demoLife, kill func(), seed []string) {
	if n.listen == nil {
		for _, a := range life.host.ListenAddrs() {
			n.listen = append(n.listen, a.String())
		}
		n.id, n.bound, n.page = life.host.Self(), boundAddresses(life.host), life.admin.Addr().String()
		n.describe(seed)
		close(n.first)
	}
	n.mu.Lock()
	n.life, n.kill, n.back, n.pageURL = life, kill, time.Time{}, life.admin.URL()
	n.mu.Unlock()
}

// describe writes the node's configuration into its home, with the real ports, for the commands that ask a node.
func (n *demoNode) describe(seed []string) {
	text := modules.Render(n.config(seed), n.net.program.Plugins...)
	if err := writeNew(filepath.Join(n.home, configName), text); err != nil {
		n.net.tell(live.LineNote, "node %d cannot be asked by commands: %v", n.number, err)
	}
}

// alive returns the node's life, nil if it does not run.
func (n *demoNode) alive() *demoLife {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life
}

// addresses waits until the node listens, and returns where it can be dialed, on every wire.
func (n *demoNode) addresses(ctx context.Context) ([]string, error) {
	select {
	case <-n.first:
		return n.bound, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// boundAddresses are where a host listens, on every wire.
func boundAddresses(h *host.Host) (all []string) {
	for _, m := range h.ListenAddrs() {
		for _, id := range []string{string(h.Self()), h.PublicKey().PeerID()} {
			if a, err := transport.NewAddress(m, id); err == nil { // comet does not run over UDP
				all = append(all, a.String())
			}
		}
	}
	return all
}

// url returns the URL of the node's page, with the token that acts; "" before it listens.
func (n *demoNode) url() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pageURL
}

// receive tells the network of the items that the node gets.
func (n *demoNode) receive(ctx context.Context, items *relay.Subscription) {
	defer items.Close()
	for {
		d, err := items.Next(ctx)
		if err != nil {
			return
		}
		if d.Item != nil {
			n.net.items.arrived(n.number, d.ID, time.Now())
		}
	}
}

// call sends echoes to one peer after another until ctx ends.
func (n *demoNode) call(ctx context.Context, life *demoLife) {
	tick := time.NewTicker(demoEvery)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		peers := life.host.Peers()
		if len(peers) == 0 {
			continue
		}
		payload := make([]byte, 1+mathrand.IntN(4096))
		_, _ = rand.Read(payload) // never fails
		n.count(func(e *demoEchoes) { e.sent++ })
		one, cancel := context.WithTimeout(ctx, 5*time.Second)
		took, err := life.echo.Echo(one, peers[turn%len(peers)].ID, payload)
		cancel()
		n.count(func(e *demoEchoes) {
			switch {
			case err == nil:
				e.returned++
				if e.rtt == 0 {
					e.rtt = took
				}
				e.rtt += (took - e.rtt) / 8
			case ctx.Err() != nil:
				e.sent-- // the end came first
			default:
				e.failed++
			}
		})
	}
}

func (n *demoNode) count(change func(*demoEchoes)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(&n.echoes)
}

// snapshot returns what the screen shows of the node. ids are those of all nodes.
func (n *demoNode) snapshot(now time.Time, ids map[transport.NodeID]*demoNode) live.DemoNode {
	n.mu.Lock()
	life, echoes := n.life, n.echoes
	s := live.DemoNode{Number: n.number, Speaks: n.kind.speaks(), Port: "-", State: live.NodeRuns, RTT: echoes.rtt,
		Trend: slices.Clone(n.trend)}
	if life == nil {
		s.State = live.NodeStarts
		if !n.stopped.IsZero() {
			s.State, s.For = live.NodeStopped, now.Sub(n.stopped)
			if !n.back.IsZero() {
				s.Back = max(0, n.back.Sub(now))
			}
		}
	}
	n.mu.Unlock()
	select {
	case <-n.first:
		if a, err := transport.ParseAddress(n.bound[0]); err == nil {
			s.ID, s.Port = string(n.id), fmt.Sprint(a.Port())
		}
		s.Page = "http://" + n.page + "/"
	default:
	}
	if life == nil {
		return s
	}
	s.Knows = life.store.Stats().Known
	s.Blocks = int(life.chain.Blocks(context.Background()))
	for _, p := range life.host.Peers() {
		other := ids[p.ID]
		if other == nil {
			continue // a guest from outside
		}
		wire := live.WireOf(p.Wire, p.Transport)
		s.Links = append(s.Links, live.DemoLink{To: other.number, State: live.LinkUp, Wire: wire, Kind: wire.String(),
			In: p.ReceiveRate, Out: p.SendRate, RTT: p.Stats.RTT, Age: now.Sub(p.Connected), Dials: !p.Inbound})
		s.In += p.ReceiveRate
		s.Out += p.SendRate
	}
	return s
}
