package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"sync"
	"time"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/host/echo"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// demoNode is one node of the demo: a whole one, and a goroutine that sends echoes to its peers.
type demoNode struct {
	number int
	home   string
	ready  chan struct{} // closed once it listens; then the fields below stand

	host  *host.Host
	store peerstore.Store
	echo  *echo.Service
	admin *admin.Server

	mu    sync.Mutex // guards what follows
	count demoState
}

// demoState is what the table shows of a node, or of all together.
type demoState struct {
	id, port               string
	outbound, inbound      int
	known                  int
	sent, returned, failed int
	rtt                    time.Duration // smoothed
	up, links              int           // of all nodes together
}

func newDemoNode(number int, home string) *demoNode {
	return &demoNode{number: number, home: home, ready: make(chan struct{})}
}

// run is the life of the node. seed is the only address that it is given; "" for the first node.
func (n *demoNode) run(ctx context.Context, seed string) error {
	cfg := modules.Default()
	cfg.Home, cfg.Network, cfg.Moniker = n.home, "demo", fmt.Sprintf("demo-%d", n.number)
	cfg.Version = "switchyard/" + versionText()
	cfg.Listen.Addresses = []string{"/ip4/127.0.0.1/tcp/0"}
	cfg.Admin.Address = "127.0.0.1:0"
	cfg.Services["echo"] = modules.Table{"enabled": true}
	if seed != "" {
		cfg.Peers.Bootstrap = []string{seed}
	}
	if err := os.MkdirAll(n.home, 0o700); err != nil {
		return err
	}
	list := plugins()
	for i, p := range list {
		if p.Name() == "echo" {
			list[i] = modules.Service("echo", zero[echo.Config], func(cfg echo.Config, h *host.Host, log *slog.Logger) (*echo.Service, error) {
				s, err := newEcho(cfg, h, log)
				n.echo = s
				return s, err
			})
		}
	}
	var calls sync.WaitGroup
	calling, stop := context.WithCancel(ctx)
	defer stop()
	err := modules.Run(ctx, modules.Node(cfg, list...), fx.Populate(&n.host, &n.store, &n.admin), fx.Invoke(func(lc fx.Lifecycle) {
		lc.Append(fx.StartStopHook(func() {
			close(n.ready)
			calls.Go(func() { n.call(calling) })
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

// address is where the node listens, once it does.
func (n *demoNode) address(ctx context.Context) (string, error) {
	select {
	case <-n.ready:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	for _, m := range n.host.ListenAddrs() {
		a, err := transport.NewAddress(m, string(n.host.Self()))
		return a.String(), err
	}
	return "", errors.New("the first node does not listen")
}

// page is the URL of the node's live page, once it listens; "" when ctx ends first.
func (n *demoNode) page(ctx context.Context) string {
	select {
	case <-n.ready:
		return fmt.Sprintf("http://%s/", n.admin.Addr())
	case <-ctx.Done():
		return ""
	}
}

// call sends echoes to one peer after the other until ctx ends.
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

// state is how the node is doing now; only the counts, while it does not listen yet.
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
	for _, m := range n.host.ListenAddrs() {
		if a, err := transport.NewAddress(m, ""); err == nil {
			s.port = fmt.Sprint(a.Port())
		}
	}
	for _, p := range n.host.Peers() {
		if p.Inbound {
			s.inbound++
		} else {
			s.outbound++
		}
	}
	return s
}

// sum is the network as a whole. Every link is outbound at one end.
func sum(nodes []*demoNode) demoState {
	var total demoState
	measured := 0
	for _, n := range nodes {
		s := n.state()
		total.up += s.up
		total.links += s.outbound
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
