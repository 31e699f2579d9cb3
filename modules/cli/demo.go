package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	demoFewest, demoMost = 2, 64
	demoEvery            = 250 * time.Millisecond // between two echoes of one node
	demoDrawEvery        = 500 * time.Millisecond // on a terminal
	demoTellEvery        = 2 * time.Second        // elsewhere
	demoMatrix           = 32                     // the most nodes that the link matrix shows
)

func (p *Program) demoCommand() *cobra.Command {
	var (
		nodes    int
		duration time.Duration
	)
	cmd := &cobra.Command{
		Use: "demo", Short: "Run a network of real nodes on this machine", Args: takes(),
		Long: "Run a network of real nodes on this machine, until Ctrl-C.\n\n" +
			"Every node is complete and has its own key, folder and ports. They speak different wires: the first\n" +
			"speaks all, the others in turn only comet, only libp2p over TCP, only libp2p over QUIC, or all again.\n" +
			"All know one address: that of the first. The table shows how they find each other through it (PEX),\n" +
			"over which wire each link goes, how the echoes return, and how far each has fetched an example chain.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if nodes < demoFewest || nodes > demoMost {
				return usage("--nodes %d: want %d to %d", nodes, demoFewest, demoMost)
			}
			if duration < 0 {
				return usage("--duration %v: want more than 0, or leave it out for no end", duration)
			}
			return p.demo(cmd.Context(), cmd.OutOrStdout(), nodes, duration)
		},
	}
	cmd.Flags().IntVar(&nodes, "nodes", 6, "how many nodes")
	cmd.Flags().DurationVar(&duration, "duration", 0, "stop after this time (default: run until Ctrl-C)")
	return cmd
}

// demo runs the network until ctx ends or the duration is over.
func (p *Program) demo(ctx context.Context, out io.Writer, count int, duration time.Duration) (err error) {
	kinds := p.demoKinds()
	if len(kinds) == 0 {
		return errors.New("demo: this build has neither the wire comet over tcp nor libp2p over tcp or quic")
	}
	dir, err := os.MkdirTemp("", "switchyard-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	if duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, duration)
		defer cancel()
	}
	fmt.Fprintf(out, "%d nodes on 127.0.0.1. They speak different wires, and know one address: that of node 1, which "+
		"speaks all.", count)
	if duration == 0 {
		fmt.Fprint(out, " Ctrl-C ends it.")
	}
	fmt.Fprintln(out)

	blocks, err := newDemoChain(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	// The nodes outlive ctx, so that the last table shows them running.
	lives, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, running := errgroup.WithContext(lives)
	nodes := make([]*demoNode, count)
	for i := range nodes {
		nodes[i] = newDemoNode(p, i+1, kinds[i%len(kinds)], filepath.Join(dir, fmt.Sprint(i+1)), blocks)
	}
	group.Go(func() error { return nodes[0].run(running, nil) })
	group.Go(func() error {
		seed, err := nodes[0].addresses(running)
		if err != nil {
			return nil // node 1 reports why, or the demo stops
		}
		for _, n := range nodes[1:] {
			group.Go(func() error { return n.run(running, seed) })
		}
		return nil
	})
	if page := nodes[0].page(running); page != "" {
		fmt.Fprintf(out, "Live page of node 1: %s\n", page)
		seed, _ := nodes[0].addresses(running)
		fmt.Fprintf(out, "An example chain of %d blocks is with node 1; the others fetch it, and so can you:\n"+
			"  %s sync %s --target %s\n\n", demoBlocks, p.Name, strings.Join(seed[:min(len(seed), 1)], ""),
			blocks.target)
	}
	watch(ctx, running.Done(), out, nodes, began)
	total, stopping := sum(nodes), time.Now()
	stop()
	if err := group.Wait(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d nodes stopped in %s after %s: %d links, %d of %d echoes came back byte-equal.\n",
		count, span(time.Since(stopping)), span(stopping.Sub(began)), total.links(), total.returned, total.sent)
	if duration > 0 && total.returned == 0 {
		return fmt.Errorf("demo: no echo came back within %v: try a longer --duration", duration)
	}
	return nil
}

// watch prints the network until ctx ends or a node fails: on a terminal a table that is redrawn, elsewhere a line now
// and then, and the table at the end.
func watch(ctx context.Context, failed <-chan struct{}, out io.Writer, nodes []*demoNode, began time.Time) {
	live, drawn := isTerminal(out), 0
	every := demoTellEvery
	if live {
		every = demoDrawEvery
	}
	draw := func() {
		lines := demoTable(nodes, time.Since(began))
		if live && drawn > 0 {
			fmt.Fprintf(out, "\x1b[%dA", drawn) // back to the table's first line
		}
		for _, l := range lines {
			if live {
				l = "\x1b[2K" + cut(l, width(out)-1) // a line that wraps would spoil the redraw
			}
			fmt.Fprintln(out, l)
		}
		drawn = len(lines)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if live {
			draw()
		}
		select {
		case <-tick.C:
			if !live {
				fmt.Fprintln(out, demoLine(nodes, time.Since(began)))
			}
		case <-failed:
			return
		case <-ctx.Done():
			if !live {
				fmt.Fprintln(out)
			}
			draw()
			return
		}
	}
}

// demoTable returns the table of all nodes, and the totals below it. The last column has a letter for the link to each
// node.
func demoTable(nodes []*demoNode, up time.Duration) []string {
	t := table{heads: []string{">NODE", "SPEAKS", "ID", ">PORT", ">PEERS", ">KNOWS", ">BLOCKS", ">ECHOES", ">BACK",
		">RTT"}}
	matrix := len(nodes) <= demoMatrix
	if matrix {
		t.heads = append(t.heads, "LINKS")
	}
	for _, n := range nodes {
		s := n.state()
		cells := []string{fmt.Sprint(n.number), n.kind.name, s.id, s.port, fmt.Sprint(s.peers), fmt.Sprint(s.known),
			fmt.Sprint(s.blocks), fmt.Sprint(s.sent), fmt.Sprint(s.returned), rtt(milliseconds(s.rtt))}
		if matrix {
			cells = append(cells, demoLinks(n, nodes, s.linkTo))
		}
		t.add(cells...)
	}
	lines := t.lines()
	if matrix {
		lines = append(lines, "",
			"LINKS to node 1, 2, ...: C comet, L libp2p over TCP, Q libp2p over QUIC, . none yet, "+
				"space: no wire in common")
	}
	return append(lines, "", demoLine(nodes, up))
}

// demoLinks returns a row of the link matrix.
func demoLinks(n *demoNode, nodes []*demoNode, links map[transport.NodeID]linkKind) string {
	row := make([]byte, len(nodes))
	for i, other := range nodes {
		row[i] = ' '
		if i+1 == n.number {
			row[i] = '-'
		} else if n.kind.meets(other.kind) {
			row[i] = '.'
		}
		select {
		case <-other.ready:
			if k, linked := links[other.host.Self()]; linked {
				row[i] = k.letter()
			}
		default:
		}
	}
	return string(row)
}

// demoLine returns the state of the whole network in one line.
func demoLine(nodes []*demoNode, up time.Duration) string {
	total, possible := sum(nodes), 0
	for i, a := range nodes {
		for _, b := range nodes[:i] {
			if a.kind.meets(b.kind) {
				possible++
			}
		}
	}
	return fmt.Sprintf("%7s  %d of %d nodes up; %d of %d links (%d comet, %d TCP, %d QUIC); %d echoes, %d back, %d "+
		"failed; round trip %s",
		span(up), total.up, len(nodes), total.links(), possible, total.total[linkComet], total.total[linkTCP],
		total.total[linkQUIC],
		total.sent, total.returned, total.failed, rtt(milliseconds(total.rtt)))
}
