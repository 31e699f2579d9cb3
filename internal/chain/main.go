// Command chain runs networks of real CometBFT nodes on this machine, stock ones and ours side by side, and judges what
// they do. See `make chain`.
//
// A case names the validators of a network by letters, with a number before a letter for so many of a kind: s is a
// stock node (MConn), L a stock node in CometBFT's libp2p mode, m ours over MConn only, q ours over QUIC only, b ours
// over both. After a plus sign it may say pex (the nodes know only a seed, in seed mode) and app (the application is
// another process): sqbb+pex. Letters after a slash are nodes that join late, where an exercise has such nodes: ssss/b.
// Without them the exercise takes one node of each kind that the network has and that links to it.
//
// Exercises (-do):
//
//	basic      in 12 blocks every validator signs 90 % and proposes, all nodes have the same blocks and application
//	           hash, a transaction through each node commits, and the /net_info of each is complete
//	kill       a node is killed and started again; then basic
//	pause      a node's process stops for 15 s; then basic
//	foreign    nodes of another chain dial ours for 15 s and never appear in a /net_info; then basic
//	evidence   one end of the network learns that a validator voted twice; a proposer at the other end must put that
//	           into a block; then basic
//	cutoff     checks the judge: a node is cut off, and basic must object to all of it
//	join       200 blocks of 1 MB; nodes join late and must get all blocks
//	statesync  nodes join with a snapshot of the application and no old blocks; then basic
//	partition  halves of the network, each in network namespaces (root), are cut apart for 60 s; then basic
//	migrate    nodes become ours, one a time, first over both wires, then over QUIC only; transactions flow
//	churn      nodes are killed, stopped and paused for -for while transactions flow; then basic; no node has grown
//	idle       measures blocks, commits, CPU and memory of a network at rest
//	far        measures blocks and commits of a network spread over five regions, 20 to 250 ms apart (root)
//	flood      measures blocks at rest and while the RPC is flooded, with an application whose CheckTx takes 50 ms
//	sync       measures how long a late node takes for blocks of 4 MB, without the rate limits of MConn
//	limited    the same with these limits at their defaults
//
// Stock nodes are built from CometBFT's own releases, into .cache/chain. Networks run one at a time. All processes end
// with this program, however that ends. The exit code is 1 if anything failed; then homes and logs are kept.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

type settings struct {
	root, dir, ours string
	cases, versions string
	do              string
	race            bool
	rounds          int
	limit, soak     time.Duration
}

func main() {
	var s settings
	flag.StringVar(&s.root, "root", ".", "the root of this repository")
	flag.StringVar(&s.dir, "dir", "", "where homes and logs go (default: a temporary folder, removed after success)")
	flag.StringVar(&s.ours, "ours", "", "the program of our nodes (default: built from modules/cometbft)")
	flag.StringVar(&s.cases, "cases", "", "networks, separated by commas (default: all of `make chain`)")
	flag.StringVar(&s.versions, "versions", "0.38.26,0.40.0,1.0.1", "releases of CometBFT; their beginnings suffice")
	flag.StringVar(&s.do, "do", "basic", "exercises, separated by commas; used with -cases")
	flag.BoolVar(&s.race, "race", false, "build our nodes with the race detector")
	flag.IntVar(&s.rounds, "rounds", 1, "how often to run all cases; figures are medians of the rounds")
	flag.DurationVar(&s.limit, "limit", 15*time.Minute, "for one network and one exercise")
	flag.DurationVar(&s.soak, "for", time.Hour, "length of churn, which -limit does not count")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "chain:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (err error) {
	chosen, err := choose(s)
	if err != nil {
		return err
	}
	own := s.dir == ""
	if own {
		// A short name: the applications' sockets are in it.
		if s.dir, err = os.MkdirTemp("", "chain-"); err != nil {
			return err
		}
	}
	defer func() {
		if err == nil && own {
			_ = os.RemoveAll(s.dir)
		} else {
			fmt.Println("homes and logs:", s.dir)
		}
	}()
	t := &table{}
	defer func() { fmt.Print(t) }()
	for _, r := range chosen.releases {
		ours := slices.ContainsFunc(chosen.works, work.ours)
		b, err := build(ctx, s.root, r, ours, s.race, s.ours)
		if err != nil {
			return err
		}
		for round := range s.rounds {
			for i, w := range chosen.works {
				if w.needs(libp2p) && !r.libp2p {
					continue
				}
				runCase(ctx, s, b, w, fmt.Sprintf("%d.%d", round, i), t)
				if ctx.Err() != nil {
					return errors.New("interrupted")
				}
			}
		}
	}
	return t.verdict()
}

// runCase runs the exercises on networks of a case, and writes the outcomes down.
func runCase(ctx context.Context, s settings, b *binaries, c work, name string, t *table) {
	var shared *network // by the exercises that do not ask for one of their own
	defer func() {
		if shared != nil {
			shared.end()
		}
	}()
	for i, e := range c.exercises {
		if ctx.Err() != nil {
			return
		}
		began := time.Now()
		limit := s.limit
		if e.name == "churn" {
			limit += s.soak
		}
		ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v", limit))
		var figures []figure
		note, err := func() (string, error) {
			defer cancel()
			w := shared
			if w == nil || e.plan != nil {
				if w != nil { // one network at a time
					w.end()
					shared = nil
				}
				var err error
				w, err = makeNetwork(ctx, s, b, c, e, fmt.Sprintf("%s.%d", name, i))
				if err != nil {
					return "", err
				}
				if e.plan == nil {
					shared = w
				} else {
					defer w.end()
				}
			}
			w.figures = nil
			note, err := e.run(ctx, w)
			figures = w.figures
			return note, err
		}()
		t.add(row{b.version, c.name, e.name, note, time.Since(began), err, figures})
		if err != nil && shared != nil {
			shared.end() // the next exercise gets a new one
			shared = nil
		}
	}
}

// makeNetwork makes a network and starts its validators.
func makeNetwork(ctx context.Context, s settings, b *binaries, c work, e exercise, name string) (*network, error) {
	p := plan{kinds: c.kinds, pex: c.pex, soak: s.soak}
	if c.app {
		p.app = []string{}
	}
	if e.plan != nil {
		e.plan(&p)
	}
	if len(p.joiners) > 0 && len(c.joiners) > 0 {
		p.joiners = c.joiners
	}
	dir := filepath.Join(s.dir, fmt.Sprintf("%s-%s-%s", b.version, strings.ReplaceAll(c.name, "/", "-"), name))
	w, err := newNetwork(ctx, dir, b, p)
	if err != nil {
		return nil, err
	}
	if err := w.run(ctx); err != nil {
		w.end()
		return nil, err
	}
	return w, nil
}
