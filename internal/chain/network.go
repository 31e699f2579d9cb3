package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// plan says what a network is made of.
type plan struct {
	kinds   []kind                           // of the validators
	joiners []kind                           // of nodes that are no validators and are not started with the others
	pex     bool                             // they know only a seed, which is one node more
	app     []string                         // arguments of the application's process; nil: the built-in application
	grpc    bool                             // the nodes speak gRPC to the application's process
	places  bool                             // each node has a network namespace of its own
	far     func(from, to int) time.Duration // delays between places
	soak    time.Duration                    // of churn
	genesis func(map[string]any)
	config  func(*node, *configFile)
}

// network is a chain of its own: validators, nodes that may join later, perhaps a seed.
type network struct {
	plan
	bins    *binaries
	dir     string
	chain   string
	nodes   []*node // the validators
	joining []*node
	seed    *node // nil without pex
	ports   ports
	figures []figure // that exercises measured
	wan     *wan     // nil without places
}

// newNetwork writes the homes of a network: `cometbft testnet` makes keys and genesis.
func newNetwork(ctx context.Context, dir string, b *binaries, p plan) (*network, error) {
	w := &network{plan: p, bins: b, dir: dir}
	kinds := append(append([]kind(nil), p.kinds...), p.joiners...)
	if p.pex {
		kinds = append(kinds, seedKind(p.kinds))
	}
	if err := command(ctx, ".", b.stock, "testnet", "--v", fmt.Sprint(len(p.kinds)),
		"--n", fmt.Sprint(len(kinds)-len(p.kinds)), "--o", dir, "--populate-persistent-peers=false"); err != nil {
		return nil, err
	}
	if p.places {
		var err error
		if w.wan, err = newWAN(len(kinds), p.far); err != nil {
			return nil, err
		}
	}
	for i, k := range kinds {
		n := &node{kind: k, name: fmt.Sprintf("node%d", i), bins: b, host: "127.0.0.1", app: p.app}
		n.home = filepath.Join(dir, n.name)
		if w.wan != nil {
			n.place = w.wan.Places[i]
			n.host = n.place.IP
		}
		for _, port := range []*int{&n.p2p, &n.rpc, &n.profile, &n.admin} {
			var err error
			if *port, err = w.ports.next(); err != nil {
				return nil, err
			}
		}
		if p.grpc {
			var err error
			if n.grpc, err = w.ports.next(); err != nil {
				return nil, err
			}
		}
		if err := n.identify(); err != nil {
			return nil, err
		}
		if err := w.rewriteGenesis(n); err != nil {
			return nil, err
		}
		switch {
		case i < len(p.kinds):
			w.nodes = append(w.nodes, n)
		case i < len(p.kinds)+len(p.joiners):
			w.joining = append(w.joining, n)
		default:
			w.seed = n
		}
	}
	for _, n := range w.all() {
		if err := w.configure(n); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// seedKind returns a kind of seed that all can dial.
func seedKind(kinds []kind) kind {
	for _, k := range kinds {
		if k.ours() {
			return both
		}
	}
	return stock
}

func (w *network) all() []*node {
	all := append(append([]*node(nil), w.nodes...), w.joining...)
	if w.seed != nil {
		all = append(all, w.seed)
	}
	return all
}

// rewriteGenesis makes the genesis what the plan wants, and learns the chain's name.
func (w *network) rewriteGenesis(n *node) error {
	path := filepath.Join(n.home, "config", "genesis.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	genesis := map[string]any{}
	if err := json.Unmarshal(data, &genesis); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	w.chain, _ = genesis["chain_id"].(string)
	validators, _ := genesis["validators"].([]any)
	for _, v := range validators { // the application takes 1 from a validator that voted twice
		v.(map[string]any)["power"] = "100"
	}
	if w.genesis != nil {
		w.genesis(genesis)
	}
	if data, err = json.MarshalIndent(genesis, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// configure writes the node's config.toml, and config/switchyard.toml if it is ours. Call it again after a node has
// become another kind.
func (w *network) configure(n *node) error {
	c, err := readConfig(filepath.Join(n.home, "config", "config.toml"))
	if err != nil {
		return err
	}
	c.set("", "moniker", n.name)
	c.set("", "proxy_app", "kvstore")
	if n.app != nil {
		c.set("", "proxy_app", n.appAddress())
		c.set("", "abci", n.appTransport())
	}
	c.set("rpc", "laddr", n.rpcAddress())
	c.set("rpc", "unsafe", true)
	c.set("rpc", "pprof_laddr", fmt.Sprintf("%s:%d", n.host, n.profile))
	c.set("p2p", "laddr", fmt.Sprintf("tcp://%s:%d", n.host, n.p2p))
	c.set("p2p", "addr_book_strict", false)
	c.set("p2p", "allow_duplicate_ip", true)
	c.set("p2p", "pex", w.pex)
	c.set("p2p", "seed_mode", n == w.seed)
	var persistent []string
	switch {
	case w.pex && n != w.seed && n.speaksMConn():
		c.set("p2p", "seeds", w.seed.at())
	case !w.pex:
		c.set("p2p", "seeds", "")
		for _, other := range w.nodes {
			if other != n && n.speaksMConn() && other.speaksMConn() {
				persistent = append(persistent, other.at())
			}
		}
		c.set("p2p", "persistent_peers", strings.Join(persistent, ","))
	}
	c.set("tx_index", "indexer", "null")
	if n.bins.libp2p {
		c.set("p2p.libp2p", "enabled", n.kind == libp2p)
		if n.kind == libp2p {
			c.put("p2p.libp2p", "bootstrap_peers", raw(w.bootstrap(n))) // its template loses an empty list in a comment
		}
	}
	if w.config != nil {
		w.config(n, c)
	}
	if err := c.write(); err != nil {
		return err
	}
	if n.kind.ours() {
		return w.configureOurs(n)
	}
	return nil
}

// bootstrap returns the list of first peers of a node in CometBFT's libp2p mode.
func (w *network) bootstrap(n *node) string {
	var peers []string
	for _, other := range w.nodes {
		if other != n && n.links(other.kind) {
			peers = append(peers, fmt.Sprintf("{ host = %q, id = %q, persistent = true }",
				fmt.Sprintf("%s:%d", other.host, other.p2p), other.peer))
		}
	}
	return "[" + strings.Join(peers, ", ") + "]"
}

// start starts nodes.
func start(nodes ...*node) error {
	for _, n := range nodes {
		if err := n.start(); err != nil {
			return err
		}
	}
	return nil
}

// run starts the validators and the seed, and waits until each has the links that it should have.
func (w *network) run(ctx context.Context) error {
	nodes := w.nodes
	if w.seed != nil {
		nodes = append([]*node{w.seed}, nodes...)
	}
	if err := start(nodes...); err != nil {
		return err
	}
	if err := w.linked(ctx, time.Minute, w.nodes...); err != nil {
		return err
	}
	return w.current(ctx)
}

// current waits until each validator has the first two blocks and has left block sync.
func (w *network) current(ctx context.Context) error {
	for _, n := range w.nodes {
		if err := n.reach(ctx, 2, time.Minute); err != nil {
			return err
		}
		if err := await(ctx, time.Minute, n.name+" has left block sync", func() error {
			s, err := n.status(ctx)
			if err == nil && s.SyncInfo.Catching {
				err = fmt.Errorf("it is at height %d", s.SyncInfo.Height)
			}
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// linked waits until each of the nodes has the links that it should have to the others.
func (w *network) linked(ctx context.Context, limit time.Duration, nodes ...*node) error {
	return await(ctx, limit, "each node has its links", func() error {
		for _, n := range nodes {
			if err := n.alive(); err != nil {
				return final{err}
			}
			if err := judgeLinks(ctx, w, n, nodes); err != nil {
				return err
			}
		}
		return nil
	})
}

// end kills all processes of the network.
func (w *network) end() {
	var ending sync.WaitGroup
	for _, n := range w.all() {
		ending.Go(n.end)
	}
	ending.Wait()
	if w.wan != nil {
		w.wan.Close()
	}
}
