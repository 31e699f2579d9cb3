//go:build linux

// Command e2e runs CometBFT's end-to-end tests over Switchyard, as processes instead of containers: make chain-e2e.
//
// CometBFT's runner does all of it, unchanged: it makes the homes, starts the nodes, loads them with transactions,
// perturbs them, sends evidence and runs its Go tests. It calls docker for the nodes. Here this program is docker: it
// runs each node as a process in a network namespace of its own, with the address that the runner gave it. A node that
// is disconnected is cut off, one that is killed gets SIGKILL and starts again, one that is paused gets SIGSTOP, one
// that is upgraded starts as another program.
//
// Each network (-networks) runs several times (-variants): with stock nodes alone, with every second node ours, with
// the others ours, and with all of them ours over QUIC alone. In the mixed ones stock nodes that upgrade become ours.
// It is CometBFT's own node with its application that runs, and ours has one argument more. Bans in the nodes' logs
// count as failures.
//
// It needs root, /dev/net/tun, the command ip and a C compiler. All processes end with this program, however that ends.
// The exit code is 1 if anything failed.
package main

import (
	"context"
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

// options are the flags.
type options struct {
	source, dir, version string
	networks, variants   string
	limit                time.Duration
	race, reuse          bool
}

func main() {
	if filepath.Base(os.Args[0]) == "docker" {
		if err := dockerCommand(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.StringVar(&o.source, "source", ".", "folder of this repository")
	flag.StringVar(&o.dir, "dir", ".cache/e2e", "scratch folder; homes and logs stay there")
	flag.StringVar(&o.version, "version", "v0.40.0", "CometBFT's version")
	flag.StringVar(&o.networks, "networks", "simple,ci,twelve",
		"networks, separated by commas: twelve, CometBFT's, or files")
	flag.StringVar(&o.variants, "variants", "stock,mixed,reversed,quic", "which nodes are ours, separated by commas")
	flag.DurationVar(&o.limit, "limit", 10*time.Minute, "for one network")
	flag.BoolVar(&o.race, "race", false, "build the nodes with the race detector, as CometBFT does")
	flag.BoolVar(&o.reuse, "reuse", false, "run the programs that were built before, as they are")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	var err error
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	if strings.Contains(o.dir, "app") {
		return fmt.Errorf("-dir %s: CometBFT's runner makes no light client below a folder with app in its name", o.dir)
	}
	var chosen []variant
	for _, v := range strings.Split(o.variants, ",") {
		if !slices.Contains(variants, variant(v)) {
			return fmt.Errorf("no variant %q; there are %v", v, variants)
		}
		chosen = append(chosen, variant(v))
	}
	p, err := build(ctx, o)
	if err != nil {
		return err
	}
	t := &table{}
	for _, name := range strings.Split(o.networks, ",") {
		for _, v := range chosen {
			r, err := runNetwork(ctx, o, p, name, v)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", name, v, err)
			}
			t.rows = append(t.rows, r)
			fmt.Printf("%s, %s: %d tests passed, %d failed, %d bans and breakdowns, in %.0f s\n", r.network, v,
				r.outcome.passed, r.outcome.failed, len(r.faults), r.took.Seconds())
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	fmt.Printf("\n%s", t)
	return t.verdict()
}

// runNetwork runs CometBFT's runner on one network and judges what came of it.
func runNetwork(ctx context.Context, o options, p *programs, name string, v variant) (r row, err error) {
	m, err := readManifest(p, name)
	if err != nil {
		return r, err
	}
	if err := m.adapt(v); err != nil {
		return r, err
	}
	name = strings.TrimSuffix(filepath.Base(name), ".toml")
	r = row{network: name, variant: v, nodes: len(m.nodes())}
	chain := name + "-" + string(v)
	homes := filepath.Join(o.dir, "networks", chain)
	logs := filepath.Join(o.dir, "logs", chain)
	for _, d := range []string{homes, logs} {
		if err := os.RemoveAll(d); err != nil {
			return r, err
		}
	}
	for _, d := range []string{filepath.Dir(homes), logs} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return r, err
		}
	}
	if err := m.write(homes + ".toml"); err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.limit, fmt.Errorf("it took longer than %v", o.limit))
	defer cancel()
	w, err := newNetwork(p, logs, r.nodes)
	if err != nil {
		return r, err
	}
	began := time.Now()
	output := filepath.Join(o.dir, "logs", chain+".txt")
	failed := w.run(ctx, homes+".toml", output)
	r.took = time.Since(began)
	var unknown error
	if r.links, unknown = w.links(ctx); unknown != nil {
		r.faults = append(r.faults, unknown.Error())
	}
	for _, fault := range w.close() {
		r.faults = append(r.faults, fault.Error())
	}
	if r.outcome, err = readOutcome(output); err != nil {
		return r, err
	}
	if failed != nil && r.outcome.failed == 0 {
		r.faults = append(r.faults, fmt.Sprintf("the runner failed: %v: %s", failed, r.outcome.last))
	}
	lines, err := readLogs(logs)
	r.faults = append(r.faults, lines...)
	return r, err
}
