package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/modules/cli/live"
	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	demoEvery     = 250 * time.Millisecond // between two echoes of one node, and two snapshots
	demoLogKept   = 200                    // lines
	demoNoticedIn = 2 * time.Second        // how long a kill waits for those who notice
	demoCutsKept  = 256
)

// demoNet is the network of a demo: its nodes, and what happens to them.
type demoNet struct {
	program *Program
	nodes   []*demoNode
	blocks  demoChain
	began   time.Time
	items   demoItems
	last    atomic.Pointer[live.Demo] // what was shown last, for the pages; nobody changes it

	mu     sync.Mutex // guards what follows
	log    []live.Line
	formed time.Duration
	all    bool // each possible link was up then
	linked time.Time
	synced bool
	killed map[int]*demoKill
	backed map[int]time.Time    // nodes that were revived, until their links are up
	cuts   map[[2]int]time.Time // links that were cut, until they are back
}

// demoKill is a node that was killed: who has noticed.
type demoKill struct {
	at             time.Time
	links, noticed int
	last           time.Duration
}

func newDemoNet(p *Program, kinds []demoKind, count int, dir string, blocks demoChain) *demoNet {
	d := &demoNet{program: p, blocks: blocks, began: time.Now(),
		killed: map[int]*demoKill{}, backed: map[int]time.Time{}, cuts: map[[2]int]time.Time{}}
	for i := range count {
		d.nodes = append(d.nodes, newDemoNode(d, i+1, kinds[i%len(kinds)], filepath.Join(dir, fmt.Sprint(i+1))))
	}
	return d
}

// run runs all nodes until ctx ends or one fails.
func (d *demoNet) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.nodes[0].run(ctx, nil) })
	group.Go(func() error {
		seed, err := d.nodes[0].addresses(ctx)
		if err != nil {
			return nil // node 1 reports why, or the demo stops
		}
		for _, n := range d.nodes[1:] {
			group.Go(func() error { return n.run(ctx, seed) })
		}
		return nil
	})
	return group.Wait()
}

// tell adds a line to the log.
func (d *demoNet) tell(kind live.LineKind, format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.say(kind, format, args...)
}

// say is tell under the lock.
func (d *demoNet) say(kind live.LineKind, format string, args ...any) {
	if len(d.log) >= demoLogKept {
		d.log = d.log[1:]
	}
	d.log = append(d.log, live.Line{Time: time.Now(), Kind: kind, Text: fmt.Sprintf(format, args...)})
}

// ids returns the nodes that have run, by their id.
func (d *demoNet) ids() map[transport.NodeID]*demoNode {
	ids := map[transport.NodeID]*demoNode{}
	for _, n := range d.nodes {
		if life := n.alive(); life != nil {
			ids[life.host.Self()] = n
		}
	}
	return ids
}

// numberOf returns the number of the node with an id, 0 if it is none of the demo's, or has never run.
func (d *demoNet) numberOf(id transport.NodeID) int {
	for _, n := range d.nodes {
		select {
		case <-n.first:
			if n.id == id {
				return n.number
			}
		default:
		}
	}
	return 0
}

// follow turns the events of a node into lines until ctx ends.
func (d *demoNet) follow(ctx context.Context, n *demoNode, life *demoLife, events <-chan host.Event) {
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			if other := d.numberOf(e.ID); other != 0 {
				d.event(n, life, e, other)
			}
		case <-ctx.Done():
			return
		}
	}
}

func pairOf(a, b int) [2]int { return [2]int{min(a, b), max(a, b)} }

func (d *demoNet) event(n *demoNode, life *demoLife, e host.Event, other int) {
	wire, found := live.NoWire, ""
	if e.Kind == host.EventUp && !e.Inbound { // the dialer tells
		wire, found = live.Comet, d.found(life, e)
		if p, ok := life.host.Peer(e.ID); ok {
			wire = live.WireOf(p.Wire, p.Transport)
			took := time.Duration(0)
			for _, stage := range p.Stages {
				took += stage.Took
			}
			found = ", " + rtt(milliseconds(took)) + found
		}
	}
	pair := pairOf(n.number, other)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch e.Kind {
	case host.EventUp:
		d.linked = e.Time
		if wire == live.NoWire {
			return
		}
		if cut, ok := d.cuts[pair]; ok {
			delete(d.cuts, pair)
			found += fmt.Sprintf(", back after %s", span(e.Time.Sub(cut)))
		}
		d.say(live.LineOf(wire), "node %d ↔ node %d   %s%s", n.number, other, wire, found)
	case host.EventMoved:
		d.linked = e.Time
		if n.number < other {
			d.say(live.LineQUIC, "node %d ↔ node %d   moved to QUIC", n.number, other)
		}
	case host.EventDown:
		if k := d.killed[other]; k != nil {
			k.noticed++
			k.last = e.Time.Sub(k.at)
		}
	}
}

// found says how a node found the peer that it has dialed.
func (d *demoNet) found(life *demoLife, e host.Event) string {
	r, ok := life.store.Get(e.ID)
	if !ok {
		return ""
	}
	for _, a := range r.Addresses {
		if a.Address.String() != e.Address {
			continue
		}
		if a.Source.Kind == "inbound" {
			return ", known from before"
		}
		if from := d.numberOf(a.Source.From); from != 0 {
			return fmt.Sprintf(", found through node %d (%s)", from, a.Source.Kind)
		}
		if a.Source.Configured() {
			return ", the address that all know"
		}
	}
	return ""
}

// several returns "1 link", "2 links".
func several(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// snapshot returns the network as it is, and brings the log up to date.
func (d *demoNet) snapshot(now time.Time) live.Demo {
	s := live.Demo{Now: now, Up: now.Sub(d.began), Page: d.nodes[0].url(), Blocks: demoBlocks, Items: d.items.totals()}
	ids := d.ids()
	for _, n := range d.nodes {
		s.Nodes = append(s.Nodes, n.snapshot(now, ids))
	}
	enough := true // each node has as many links as it wants
	for i := range s.Nodes {
		enough = d.complete(&s, i) && enough
	}
	for _, n := range s.Nodes {
		for _, k := range n.Links {
			if k.To > n.Number && k.State == live.LinkUp {
				s.Wires.Add(k.Wire)
				s.Links++
			}
			if k.To > n.Number && (k.State == live.LinkUp || k.State == live.LinkMissing) {
				s.Possible++
			}
		}
	}
	if s.Page != "" {
		s.Try, s.Ask = d.fetch(d.nodes[0].bound), d.ask("status")
	}
	d.note(&s, enough, now)
	s.Items = d.items.totals()
	return s
}

// complete adds the links to a node's row that are not up, and reports whether it has those that it wants.
func (d *demoNet) complete(s *live.Demo, at int) bool {
	n, to := &s.Nodes[at], map[int]live.DemoLink{}
	for _, k := range n.Links {
		to[k.To] = k
	}
	n.Links = n.Links[:0]
	up, possible := 0, 0
	for i, other := range d.nodes {
		k, linked := to[other.number]
		switch {
		case i == at:
			continue
		case linked:
			up++
			possible++
		case !d.nodes[at].kind.meets(other.kind):
			k.State = live.LinkNever
		case n.State == live.NodeRuns && s.Nodes[i].State == live.NodeRuns:
			k.State = live.LinkMissing
			possible++
		case n.State == live.NodeStopped || s.Nodes[i].State == live.NodeStopped:
			k.State = live.LinkAway
		default:
			k.State = live.LinkMissing // it starts
			possible++
		}
		k.To = other.number
		n.Links = append(n.Links, k)
	}
	return n.State == live.NodeRuns && up >= min(possible, d.nodes[at].kind.config().Peers.MaxOutbound)
}

// note adds the lines that are due, and freezes the time in which the network has formed.
func (d *demoNet) note(s *live.Demo, enough bool, now time.Time) {
	ripe := d.items.ripe(now)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.formed == 0 && enough {
		if d.formed = d.linked.Sub(d.began); d.linked.IsZero() {
			d.formed = now.Sub(d.began)
		}
		d.all = s.Links == s.Possible
		how := "each node has the links that it wants"
		if d.all {
			how = fmt.Sprintf("all %d possible links are up", s.Possible)
		}
		d.say(live.LineUp, "%s after %s", how, span(d.formed))
	}
	for _, i := range ripe {
		if i.nodes == 1 {
			d.say(live.LineItem, "item %.2x from node %d: no other node runs", i.id[:2], i.from)
			continue
		}
		took := rtt(milliseconds(i.took))
		if !i.inTime {
			took = demoItemPatient.String()
		}
		d.say(live.LineItem, "item %.2x from node %d: in %d of %d nodes after %s", i.id[:2], i.from,
			i.nodes-len(i.want), i.nodes, took)
	}
	for number, k := range d.killed {
		if k.noticed >= k.links || now.Sub(k.at) > demoNoticedIn {
			delete(d.killed, number)
			d.say(live.LineDown, "node %d killed: %s ended, %s noticed in %s", number, several(k.links, "link"),
				several(k.noticed, "node"), rtt(milliseconds(k.last)))
		}
	}
	for number, since := range d.backed {
		up, possible := 0, 0
		for _, k := range s.Nodes[number-1].Links {
			if k.State == live.LinkUp {
				up++
			}
			if k.State == live.LinkUp || k.State == live.LinkMissing {
				possible++
			}
		}
		if s.Nodes[number-1].State == live.NodeRuns && up > 0 && up == possible {
			delete(d.backed, number)
			d.say(live.LineUp, "node %d is back: %d of %d links after %s", number, up, possible, span(now.Sub(since)))
		}
	}
	if !d.synced {
		have := 0
		for _, n := range s.Nodes {
			if n.Blocks >= demoBlocks {
				have++
			}
		}
		if d.synced = have == len(s.Nodes); d.synced {
			d.say(live.LineNote, "all nodes have the example chain of %d blocks", demoBlocks)
		}
	}
	s.Formed, s.All, s.Log = d.formed, d.all, append([]live.Line(nil), d.log...)
}

// watch sends snapshots until ctx ends: when something changes, and for what changes all the time.
func (d *demoNet) watch(ctx context.Context, out chan live.Demo) {
	tick := time.NewTicker(demoEvery)
	defer tick.Stop()
	var trend time.Time
	for {
		s := d.snapshot(time.Now())
		if s.Now.Sub(trend) >= time.Second {
			trend = s.Now
			for i, n := range s.Nodes {
				d.nodes[i].mu.Lock()
				t := append(d.nodes[i].trend, n.In+n.Out)
				d.nodes[i].trend = t[max(0, len(t)-demoTrend):]
				d.nodes[i].mu.Unlock()
			}
		}
		shown := s
		d.last.Store(&shown)
		offer(out, s)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// demoTrend is how many values of a node's traffic are kept.
const demoTrend = 32

// offer puts v into a channel of size 1, in place of what waits there.
func offer[T any](out chan T, v T) {
	select {
	case <-out:
	default:
	}
	select {
	case out <- v:
	default:
	}
}

// echoes returns the counts of all nodes.
func (d *demoNet) echoes() (total demoEchoes) {
	for _, n := range d.nodes {
		n.count(func(e *demoEchoes) {
			total.sent += e.sent
			total.returned += e.returned
			total.failed += e.failed
		})
	}
	return total
}
