package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/modules/cli/live"
)

const demoFewest, demoMost = 2, 64

// demoCall is how a demo was called.
type demoCall struct {
	nodes    int
	duration time.Duration
	quiet    bool
	out      live.Output
}

func (p *Program) demoCommand() *cobra.Command {
	var c demoCall
	cmd := &cobra.Command{
		Use: "demo", Short: "Run a network of real nodes on this machine", Args: takes(),
		Long: "Run a network of real nodes on this machine, until q or Ctrl-C.\n\n" +
			"Every node is complete and has its own key, folder and ports. They speak different wires: the first\n" +
			"speaks all, the others in turn only comet, only libp2p over TCP, only libp2p over QUIC, or all again.\n" +
			"All know one address: that of the first. The screen shows how they find each other through it (PEX),\n" +
			"over which wire each link goes, and how items spread. After 10 s a node is killed, after 14 s it is\n" +
			"revived; --quiet-story leaves that and the items out. Keys do the same (? lists them).\n\n" +
			"Without a terminal, with --plain or TERM=dumb there is a line each 2 s instead.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.nodes < demoFewest || c.nodes > demoMost {
				return usage("--nodes %d: want %d to %d", c.nodes, demoFewest, demoMost)
			}
			if c.duration < 0 {
				return usage("--duration %v: want more than 0, or leave it out for no end", c.duration)
			}
			c.out.In, c.out.Out = cmd.InOrStdin(), cmd.OutOrStdout()
			return p.demo(cmd.Context(), &c)
		},
	}
	cmd.Flags().IntVar(&c.nodes, "nodes", 8, "how many nodes")
	cmd.Flags().DurationVar(&c.duration, "duration", 0, "stop after this time (default: run until q or Ctrl-C)")
	cmd.Flags().BoolVar(&c.quiet, "quiet-story", false, "kill no node and publish no items: only keys do")
	liveFlags(cmd, &c.out)
	return cmd
}

// liveFlags adds the flags of commands that show something live.
func liveFlags(cmd *cobra.Command, out *live.Output) {
	cmd.Flags().BoolVar(&out.Plain, "plain", false, "print a line each 2 s, on a terminal, too")
	cmd.Flags().BoolVar(&out.JSON, "json", false, "print JSON, one value a line")
}

// demo runs the network until ctx ends, the user quits or the duration is over.
func (p *Program) demo(ctx context.Context, c *demoCall) (err error) {
	kinds := p.demoKinds()
	if len(kinds) == 0 {
		return errors.New("demo: this build has neither the wire comet over tcp nor libp2p over tcp or quic")
	}
	dir, err := os.MkdirTemp("", "switchyard-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if c.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.duration)
		defer cancel()
	}
	words := io.Discard // for people
	if !c.out.JSON {
		words = c.out.Out
	}
	fmt.Fprintf(words, "%d nodes on 127.0.0.1. They speak different wires, and know one address: that of node 1, "+
		"which speaks all.%s\n", c.nodes, map[bool]string{true: " Ctrl-C ends it."}[c.duration == 0])

	blocks, err := newDemoChain(ctx)
	if err != nil {
		return err
	}
	d := newDemoNet(p, kinds, c.nodes, dir, blocks)
	// The nodes outlive ctx, so that the last state shows them running.
	lives, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	showing, hide := context.WithCancel(ctx)
	go func() {
		ended <- d.run(lives)
		hide()
	}()
	showErr := d.show(showing, c, words)
	hide()
	total, last, stopping := d.echoes(), d.snapshot(time.Now()), time.Now()
	stop()
	if err := cmp.Or(<-ended, showErr); err != nil {
		return err
	}
	fmt.Fprintf(words, "\n%d nodes stopped in %s after %s: %d links, %d of %d echoes came back byte-equal.\n",
		c.nodes, span(time.Since(stopping)), span(stopping.Sub(d.began)), last.Links, total.returned, total.sent)
	if c.duration > 0 && total.returned == 0 {
		return fmt.Errorf("demo: no echo came back within %v: try a longer --duration", c.duration)
	}
	return nil
}

// show shows the network, and tells its story, until ctx ends or the user quits.
func (d *demoNet) show(ctx context.Context, c *demoCall, words io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer stop()
	snapshots := make(chan live.Demo, 1)
	parts.Go(func() { d.watch(ctx, snapshots) })
	if !c.quiet {
		parts.Go(func() { d.story(ctx) })
	}
	if !c.out.Terminal() {
		if seed, err := d.nodes[0].addresses(ctx); err == nil {
			fmt.Fprintf(words, "Live page of node 1: %s\n"+
				"Ask node 1 as you ask any node (peers and doctor work, too):\n  %s\n"+
				"An example chain of %d blocks is with node 1; the others fetch it, and so can you:\n  %s\n"+
				"Map the network:\n  %s crawl %s --network demo\n\n", d.nodes[0].url(), d.ask("status"), demoBlocks,
				d.fetch(seed), d.program.Name, seed[0])
		}
	}
	return live.Show(ctx, c.out, live.NewDemo(d.program.Name), snapshots, d.act)
}

// ask is a command that asks node 1.
func (d *demoNet) ask(what string) string {
	return strings.Join([]string{d.program.Name, what, "--home", d.nodes[0].home}, " ")
}

// fetch is the command that fetches the example chain from node 1.
func (d *demoNet) fetch(seed []string) string {
	return strings.Join([]string{d.program.Name, "sync", seed[0], "--target", d.blocks.target.String()}, " ")
}
