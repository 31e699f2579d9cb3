package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/host/backfill"
	"github.com/switchyard-p2p/switchyard/host/echo"
	"github.com/switchyard-p2p/switchyard/internal/stock"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/chain"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// demoKind is what a node of the demo speaks.
type demoKind struct {
	name              string
	transports, wires []string
	listen            []string
	dials             func(address string) bool // which addresses of the first node it can use
}

const (
	anyTCP  = "/ip4/127.0.0.1/tcp/0"
	anyQUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
)

// demoKinds are the kinds, in the order in which nodes get them. The first node must speak everything, as all others
// find each other through it.
var demoKinds = []demoKind{
	{"all", []string{"tcp", "quic"}, []string{"comet", "libp2p"}, []string{anyTCP, anyQUIC}, func(a string) bool {
		return strings.Contains(a, "/p2p/")
	}},
	{"comet", []string{"tcp"}, []string{"comet"}, []string{anyTCP}, func(a string) bool {
		return strings.Contains(a, "/mconn/")
	}},
	{"libp2p", []string{"tcp"}, []string{"libp2p"}, []string{anyTCP}, func(a string) bool {
		return strings.Contains(a, "/tcp/") && strings.Contains(a, "/p2p/")
	}},
	{"quic", []string{"quic"}, []string{"libp2p"}, []string{anyQUIC}, func(a string) bool {
		return strings.Contains(a, "/quic-v1/")
	}},
}

// demoKinds returns the kinds that the program's plug-ins allow. The first has all of their transports and wires.
func (p *Program) demoKinds() []demoKind {
	var kinds []demoKind
	for _, k := range demoKinds {
		cfg := k.config().Fit(p.Plugins...)
		k.transports, k.wires = cfg.Stack.Transports, cfg.Stack.Wires
		k.listen = slices.DeleteFunc(slices.Clone(k.listen), func(a string) bool {
			return a == anyTCP && !slices.Contains(k.transports, "tcp") ||
				a == anyQUIC && !slices.Contains(k.transports, "quic")
		})
		if k.config().Validate(p.Plugins...) == nil {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// config returns the configuration of a node of the kind.
func (k demoKind) config() modules.Config {
	cfg := modules.Default()
	cfg.Network, cfg.Admin.Address = "demo", "127.0.0.1:0"
	cfg.Listen.Addresses, cfg.Stack.Transports, cfg.Stack.Wires = k.listen, k.transports, k.wires
	if !slices.Contains(k.wires, "libp2p") {
		cfg.Stack.Security, cfg.Stack.Muxers = nil, nil
	}
	return cfg
}

// meets reports whether two kinds have a wire and a transport in common.
func (k demoKind) meets(other demoKind) bool {
	both := func(a, b []string, name string) bool { return slices.Contains(a, name) && slices.Contains(b, name) }
	return both(k.wires, other.wires, "libp2p") &&
		(both(k.transports, other.transports, "quic") || both(k.transports, other.transports, "tcp")) ||
		both(k.wires, other.wires, "comet") && both(k.transports, other.transports, "tcp")
}

// demoNode is a node of the demo, and a goroutine that sends echoes to its peers.
type demoNode struct {
	program *Program
	number  int
	kind    demoKind
	home    string
	blocks  demoChain
	ready   chan struct{} // closed once it listens and the fields below are set

	host  *host.Host
	store peerstore.Store
	echo  *echo.Service
	chain *chain.Service
	admin *admin.Server

	mu    sync.Mutex // guards what follows
	count demoState
}

// demoState is what the table shows of a node, or of all nodes together.
type demoState struct {
	id, port               string
	peers                  int
	linkTo                 map[transport.NodeID]linkKind
	known                  int
	blocks                 uint64 // of the example chain
	sent, returned, failed int
	rtt                    time.Duration // smoothed
	up                     int           // of all nodes together
	total                  [linkKinds]int
}

// links returns the number of links.
func (s *demoState) links() (n int) {
	for _, count := range s.total {
		n += count
	}
	return n
}

// linkKind is the wire and transport of a link.
type linkKind int

const (
	linkComet linkKind = iota
	linkTCP
	linkQUIC
	linkKinds
)

func (k linkKind) letter() byte { return "CLQ"[k] }

func kindOf(p *host.PeerInfo) linkKind {
	switch {
	case p.Wire == transport.WireComet:
		return linkComet
	case p.Transport == "quic":
		return linkQUIC
	}
	return linkTCP
}

func newDemoNode(p *Program, number int, kind demoKind, home string, blocks demoChain) *demoNode {
	return &demoNode{program: p, number: number, kind: kind, home: home, blocks: blocks, ready: make(chan struct{})}
}

// demoChain is the example chain of a demo. The first node has it from the start, the others fetch it.
type demoChain struct {
	store  backfill.Store
	target chain.Target
}

const (
	demoBlocks    = 1000
	demoBlockSize = 1024
)

func newDemoChain(ctx context.Context) (d demoChain, err error) {
	key := chain.NewKey()
	d.store = backfill.NewMemory()
	if err := chain.Make(ctx, d.store, key, demoBlocks, demoBlockSize); err != nil {
		return d, err
	}
	d.target, err = chain.TargetOf(ctx, d.store, demoBlocks, chain.Public(key))
	return d, err
}

// run runs the node until ctx ends. seed are the addresses of the first node, none for the first node itself; the node
// bootstraps from the first address that it can dial.
func (n *demoNode) run(ctx context.Context, seed []string) error {
	cfg := n.kind.config()
	cfg.Home, cfg.Moniker, cfg.Version = n.home, fmt.Sprintf("demo-%d", n.number), n.program.agent()
	cfg.Services["echo"], cfg.Services["chain"] = modules.Table{"enabled": true}, modules.Table{"enabled": true}
	blocks := chain.Config{}
	if len(seed) == 0 {
		blocks.Store = n.blocks.store
	}
	if len(seed) > 0 {
		cfg.Peers.Bootstrap = []string{seed[max(0, slices.IndexFunc(seed, n.kind.dials))]}
	}
	list := modules.With(n.program.Plugins, modules.Service("echo", func() (c echo.Config) { return c },
		func(cfg echo.Config, h *host.Host, log *slog.Logger) (*echo.Service, error) {
			s, err := stock.Echo(cfg, h, log)
			n.echo = s
			return s, err
		}), modules.HomeService("chain", func() chain.Config { return blocks },
		func(cfg chain.Config, h *host.Host, home string, log *slog.Logger) (*chain.Service, error) {
			s, err := chain.New(cfg, h, home, log)
			n.chain = s
			return s, err
		}))
	var calls sync.WaitGroup
	calling, stop := context.WithCancel(ctx)
	defer stop()
	err := modules.Run(ctx, modules.Node(cfg, list...), fx.Populate(&n.host, &n.store, &n.admin),
		fx.Invoke(func(lc fx.Lifecycle) {
			lc.Append(fx.StartStopHook(func() {
				close(n.ready)
				calls.Go(func() { n.call(calling) })
				calls.Go(func() { _ = n.chain.Sync(calling, n.blocks.target, nil) }) // the table shows how far it is
			}, func() {
				stop()
				calls.Wait()
			}))
		}))
	if err != nil {
		return fmt.Errorf("node %d: %w", n.number, err)
	}
	return nil
}

// addresses waits until the node listens, and returns where it can be dialed, on every wire.
func (n *demoNode) addresses(ctx context.Context) ([]string, error) {
	select {
	case <-n.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return boundAddresses(n.host), nil
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

// page waits until the node listens, and returns the URL of its live page, with its token; "" if ctx ends first.
func (n *demoNode) page(ctx context.Context) string {
	select {
	case <-n.ready:
		return n.admin.URL()
	case <-ctx.Done():
		return ""
	}
}

// call sends echoes to one peer after another until ctx ends.
func (n *demoNode) call(ctx context.Context) {
	tick := time.NewTicker(demoEvery)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		peers := n.host.Peers()
		if len(peers) == 0 {
			continue
		}
		payload := make([]byte, 1+mathrand.IntN(4096))
		_, _ = rand.Read(payload) // never fails
		n.add(func(s *demoState) { s.sent++ })
		one, cancel := context.WithTimeout(ctx, 5*time.Second)
		took, err := n.echo.Echo(one, peers[turn%len(peers)].ID, payload)
		cancel()
		n.add(func(s *demoState) {
			switch {
			case err == nil:
				s.returned++
				if s.rtt == 0 {
					s.rtt = took
				}
				s.rtt += (took - s.rtt) / 8
			case ctx.Err() != nil:
				s.sent-- // the end came first
			default:
				s.failed++
			}
		})
	}
}

func (n *demoNode) add(change func(*demoState)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(&n.count)
}

// state returns the state of the node now; only the counts until it listens.
func (n *demoNode) state() demoState {
	n.mu.Lock()
	s := n.count
	n.mu.Unlock()
	s.id, s.port = "starting", "-"
	select {
	case <-n.ready:
	default:
		return s
	}
	s.up, s.id, s.known = 1, n.host.Self().Short(), n.store.Stats().Known
	s.blocks = n.chain.Blocks(context.Background())
	if listen := n.host.ListenAddrs(); len(listen) > 0 {
		if a, err := transport.NewAddress(listen[0], ""); err == nil {
			s.port = fmt.Sprint(a.Port())
		}
	}
	s.linkTo = map[transport.NodeID]linkKind{}
	for _, p := range n.host.Peers() {
		s.peers++
		s.linkTo[p.ID] = kindOf(&p)
		if !p.Inbound {
			s.total[kindOf(&p)]++
		}
	}
	return s
}

// sum returns the totals of the network. It counts each link at its outbound end.
func sum(nodes []*demoNode) demoState {
	var total demoState
	measured := 0
	for _, n := range nodes {
		s := n.state()
		total.up += s.up
		for k, count := range s.total {
			total.total[k] += count
		}
		total.sent += s.sent
		total.returned += s.returned
		total.failed += s.failed
		if s.rtt > 0 {
			total.rtt += s.rtt
			measured++
		}
	}
	if measured > 0 {
		total.rtt /= time.Duration(measured)
	}
	return total
}
