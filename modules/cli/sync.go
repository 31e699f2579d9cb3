package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/fx"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/backfill"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/chain"
)

const (
	syncMostNodes  = 16
	syncMostBlocks = 10_000_000
	syncMostBytes  = 8 << 30         // of the blocks that it makes, which are in memory
	syncLineEvery  = 2 * time.Second // where there is no terminal
)

// syncFlags are the flags of sync.
type syncFlags struct {
	target, network, folder string
	nodes, blocks, size     int
	json                    bool
}

func (p *Program) syncCommand() *cobra.Command {
	var f syncFlags
	cmd := &cobra.Command{
		Use: "sync [ADDRESS...]", Short: "Fetch the example chain from other nodes, or from nodes that this makes",
		Long: "Fetch the example chain of hashed and signed blocks, as a node of its own, up to a target.\n\n" +
			"ADDRESS are nodes that serve the chain: " + p.Name + " demo prints one, with the target, and so does a\n" +
			"node with services.chain. The target is what you trust: nothing that a peer says changes it. With\n" +
			"--folder the chain is kept, and a later sync goes on where this one stopped.\n\n" +
			"Without ADDRESS, the command makes nodes that have a chain, on this machine.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd, args); err != nil {
				return err
			}
			return p.sync(cmd.Context(), cmd.OutOrStdout(), f, args)
		},
	}
	cmd.Flags().StringVar(&f.target, "target", "", "HEIGHT:HASH:KEY of the block up to which to fetch")
	cmd.Flags().StringVar(&f.network, "network", "demo", "the network of the nodes")
	complete(cmd, "network", values{p}.networks)
	cmd.Flags().StringVar(&f.folder, "folder", "", "where to keep the chain (default: in memory)")
	cmd.Flags().IntVar(&f.nodes, "nodes", 3, "without ADDRESS: nodes that serve")
	cmd.Flags().IntVar(&f.blocks, "blocks", 20_000, "without ADDRESS: blocks of the chain")
	cmd.Flags().IntVar(&f.size, "size", 1024, "without ADDRESS: bytes of each block")
	jsonFlag(cmd, &f.json)
	return cmd
}

// check refuses a wrong call.
func (f *syncFlags) check(cmd *cobra.Command, args []string) error {
	own := func(name string) bool { return cmd.Flags().Changed(name) }
	switch {
	case len(args) > 0 && f.target == "":
		return usage("sync: --target is missing: which block do you trust?")
	case len(args) == 0 && f.target != "":
		return usage("sync: ADDRESS is missing: which nodes have the chain?")
	case len(args) > 0 && (own("nodes") || own("blocks") || own("size")):
		return usage("sync: --nodes, --blocks and --size are for a sync without ADDRESS")
	case f.nodes < 1 || f.nodes > syncMostNodes:
		return usage("--nodes %d: want 1 to %d", f.nodes, syncMostNodes)
	case f.blocks < 1 || f.blocks > syncMostBlocks:
		return usage("--blocks %d: want 1 to %d", f.blocks, syncMostBlocks)
	case f.size < 0 || f.size > 16<<20 || int64(f.size)*int64(f.blocks) > syncMostBytes:
		return usage("--size %d: want 0 to 16 MiB, and %d GiB of blocks at most", f.size, int64(syncMostBytes>>30))
	}
	if f.target != "" {
		if _, err := chain.ParseTarget(f.target); err != nil {
			return usage("--target: %w", err)
		}
	}
	for _, a := range args {
		if _, err := address(a); err != nil {
			return err
		}
	}
	return nil
}

// syncNode is a node that serves or fetches the chain.
type syncNode struct {
	program *Program
	name    string
	cfg     modules.Config
	chain   chain.Config
	ready   chan struct{} // closed once it listens and the fields below are set

	host    *host.Host
	service *chain.Service
}

func (p *Program) newSyncNode(name, network, home string, kind demoKind, c chain.Config) *syncNode {
	n := &syncNode{program: p, name: name, cfg: kind.config(), chain: c, ready: make(chan struct{})}
	n.cfg.Network, n.cfg.Home, n.cfg.Moniker, n.cfg.Version = network, home, name, p.agent()
	n.cfg.Admin.Address = ""
	n.cfg.Services["chain"] = modules.Table{"enabled": true}
	return n
}

// run runs the node until ctx ends.
func (n *syncNode) run(ctx context.Context) error {
	list := modules.With(n.program.Plugins, modules.HomeService("chain", func() chain.Config { return n.chain },
		func(cfg chain.Config, h *host.Host, home string, log *slog.Logger) (*chain.Service, error) {
			s, err := chain.New(cfg, h, home, log)
			n.service = s
			return s, err
		}))
	err := modules.Run(ctx, modules.Node(n.cfg, list...), fx.Populate(&n.host), fx.Invoke(func(lc fx.Lifecycle) {
		lc.Append(fx.StartHook(func() { close(n.ready) }))
	}))
	if err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	return nil
}

// sync runs a node that fetches the chain, and those that serve it where no address is given.
func (p *Program) sync(ctx context.Context, out io.Writer, f syncFlags, addresses []string) (err error) {
	kinds := p.demoKinds()
	if len(kinds) == 0 {
		return errors.New("sync: this build has neither the wire comet over tcp nor libp2p over tcp or quic")
	}
	dir, err := os.MkdirTemp("", "switchyard-sync-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	lives, stop := context.WithCancel(ctx)
	defer stop()
	group, running := errgroup.WithContext(lives)
	defer func() {
		stop()
		if failed := group.Wait(); failed != nil && ctx.Err() == nil {
			err = failed // why the sync was cut short
		}
	}()
	if len(addresses) == 0 {
		if addresses, f.target, err = p.serveChain(running, group, out, f, dir, kinds); err != nil {
			return err
		}
	}
	target, err := chain.ParseTarget(f.target)
	if err != nil {
		return err
	}
	folder := f.folder
	if folder != "" {
		if folder, err = filepath.Abs(folder); err != nil {
			return err
		}
	}
	n := p.newSyncNode("sync", f.network, filepath.Join(dir, "sync"), kinds[0], chain.Config{Folder: folder})
	n.cfg.Peers.Persistent = addresses
	group.Go(func() error { return n.run(running) })
	select {
	case <-n.ready:
	case <-running.Done():
		return context.Cause(running)
	}
	began := time.Now()
	bar := newSyncBar(out, f.json)
	err = n.service.Sync(running, target, bar.show)
	bar.end()
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return bar.summary(target, time.Since(began))
}

// serveChain makes a chain, and nodes that serve it over different wires. It returns where they listen, and the target.
func (p *Program) serveChain(ctx context.Context, group *errgroup.Group, out io.Writer, f syncFlags, dir string,
	kinds []demoKind) (addresses []string, target string, err error) {
	if !f.json {
		fmt.Fprintf(out, "%d nodes on 127.0.0.1 serve an example chain of %d blocks of %d bytes; "+
			"one more fetches it.\n", f.nodes, f.blocks, f.size)
	}
	key := chain.NewKey()
	store := backfill.NewMemory()
	if err := chain.Make(ctx, store, key, uint64(f.blocks), f.size); err != nil {
		return nil, "", err
	}
	t, err := chain.TargetOf(ctx, store, uint64(f.blocks), chain.Public(key))
	if err != nil {
		return nil, "", err
	}
	for i := range f.nodes {
		name := fmt.Sprintf("node-%d", i+1)
		kind := kinds[(i+1)%len(kinds)]
		n := p.newSyncNode(name, f.network, filepath.Join(dir, name), kind, chain.Config{Store: store})
		group.Go(func() error { return n.run(ctx) })
		select {
		case <-n.ready:
		case <-ctx.Done():
			return nil, "", context.Cause(ctx)
		}
		own := boundAddresses(n.host)
		addresses = append(addresses, own[max(slices.IndexFunc(own, kind.dials), 0)])
	}
	return addresses, t.String(), nil
}

// syncBar shows how far a sync is: on a terminal a bar that is redrawn, elsewhere a line now and then.
type syncBar struct {
	out         io.Writer
	live, quiet bool
	drawn       bool
	told        time.Time
	last        backfill.Progress
}

func newSyncBar(out io.Writer, quiet bool) *syncBar {
	return &syncBar{out: out, live: isTerminal(out), quiet: quiet}
}

// show is a Task.Progress.
func (b *syncBar) show(p backfill.Progress) {
	b.last = p
	switch {
	case b.quiet:
	case b.live:
		fmt.Fprintf(b.out, "\r\x1b[2K%s", cut(syncLine(p, width(b.out)-1), width(b.out)-1))
		b.drawn = true
	case time.Since(b.told) >= syncLineEvery:
		fmt.Fprintln(b.out, syncLine(p, 0))
		b.told = time.Now()
	}
}

// end leaves the last line of a terminal as it is.
func (b *syncBar) end() {
	if b.drawn {
		fmt.Fprintln(b.out)
	}
}

// summary prints what was done.
func (b *syncBar) summary(t chain.Target, took time.Duration) error {
	p := b.last
	if b.quiet {
		return printJSON(b.out, map[string]any{"height": t.Height, "fetched": p.Done, "bytes": p.Bytes,
			"seconds": took.Seconds(), "peers": p.Peers})
	}
	if p.Done == 0 {
		_, err := fmt.Fprintf(b.out, "all blocks up to height %d were there\n", t.Height)
		return err
	}
	_, err := fmt.Fprintf(b.out, "%d blocks (%s) in %s from %d peers: %.0f blocks/s; height %d is the target %x...\n",
		p.Done, megabytes(p.Bytes), span(took), p.Peers, float64(p.Done)/took.Seconds(), t.Height, t.Hash[:8])
	return err
}

func megabytes(n uint64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// syncLine returns the progress in one line, with a bar if there is room.
func syncLine(p backfill.Progress, columns int) string {
	share := 1.0
	if p.Total > 0 {
		share = float64(p.Done) / float64(p.Total)
	}
	rate, left := 0.0, ""
	if s := p.Elapsed.Seconds(); s > 0 {
		rate = float64(p.Bytes) / 1e6 / s
		if p.Done > 0 && p.Done < p.Total {
			left = ", " + span(time.Duration((s/share-s)*float64(time.Second))) + " left"
		}
	}
	text := fmt.Sprintf("%3.0f%%  %d of %d blocks, %.1f MB/s, %d peers%s", 100*share, p.Done, p.Total, rate,
		p.Peers, left)
	if p.Peers == 0 {
		text = fmt.Sprintf("%3.0f%%  %d of %d blocks, waiting for peers", 100*share, p.Done, p.Total)
	}
	room := min(columns-len(text)-4, 40)
	if room < 8 {
		return text
	}
	full := int(share * float64(room))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "]  " + text
}
