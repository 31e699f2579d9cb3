package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of the verdict.
const (
	mostLines  = 1000             // of a node's log
	grace      = 30 * time.Second // for a node that stood still, and its peers, to be linked again
	mostGrowth = 1.15             // of the memory, from the second quarter to the last
	slackMiB   = 8
)

// watch samples the honest nodes and judges them.
type watch struct {
	nodes   []*node
	began   time.Time
	arena   *arena
	samples []sample
	faults  []string
	printed time.Time
}

// sample is the state of all nodes at one time.
type sample struct {
	at     time.Duration
	memory []float64 // MiB, by node
	files  []float64 // pages of mapped files, MiB, by node
	heap   []float64 // of it, what the last garbage collection has left, in MiB, by node; 0 if it stands still
	known  []int     // peers in the node's store, by node; 0 if it stands still
	honest []int     // links with honest nodes, by node; -1 if it stands still
	others []int     // other links, by node
}

type peer struct {
	NodeID    string `json:"node_id"`
	Direction string `json:"direction"`
}

type ban struct {
	Target string `json:"target"`
	Reason string `json:"reason"`
}

// until samples until ctx ends or d has passed.
func (w *watch) until(ctx context.Context, d time.Duration) {
	end := time.After(d)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-end:
			w.sample()
			return
		case <-tick.C:
			w.sample()
		}
	}
}

func (w *watch) fault(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	at := time.Since(w.began).Round(time.Second)
	fmt.Printf("%8s  FAULT %s\n", at, text)
	w.faults = append(w.faults, fmt.Sprintf("%v: %s", at, text))
}

func (w *watch) sample() {
	s := sample{at: time.Since(w.began)}
	for i, n := range w.nodes {
		select {
		case <-n.ended:
			w.fault("%s has ended: %v; its log is %s", n.name, n.cmd.ProcessState, n.log())
			s.memory, s.files = append(s.memory, 0), append(s.files, 0)
			s.honest, s.others = append(s.honest, -1), append(s.others, 0)
			s.heap, s.known = append(s.heap, 0), append(s.known, 0)
			continue
		default:
		}
		now, files, _ := n.memory()
		s.memory, s.files = append(s.memory, now), append(s.files, files)
		honest, others := -1, 0
		heap, known := 0.0, 0
		if !n.shaken(grace) {
			honest, others = w.links(n)
			heap, known = n.holds()
			w.bans(n)
		}
		s.honest, s.others = append(s.honest, honest), append(s.others, others)
		s.heap, s.known = append(s.heap, heap), append(s.known, known)
		// A node is lost if it has fewer honest links than others that run allow.
		if running := w.running(); honest >= 0 && honest < min(2, running-1) && s.at > settling {
			w.fault("%s has %d honest links, while %d nodes run", w.nodes[i].name, honest, running)
		}
	}
	w.samples = append(w.samples, s)
	if time.Since(w.printed) >= 3*every-time.Second {
		w.printed = time.Now()
		w.row(s)
	}
}

// running counts nodes that have not stood still lately.
func (w *watch) running() (n int) {
	for _, x := range w.nodes {
		if !x.shaken(grace) {
			n++
		}
	}
	return n
}

func (w *watch) links(n *node) (honest, others int) {
	peers, err := get[[]peer](n, "/v1/peers")
	if err != nil {
		if !n.shaken(grace) {
			w.fault("%s: %v", n.name, err)
		}
		return -1, 0
	}
	for _, p := range peers {
		if slices.ContainsFunc(w.nodes, func(o *node) bool { return o.id == p.NodeID }) {
			honest++
		} else {
			others++
		}
	}
	return honest, others
}

// bans checks that no honest node is banned.
func (w *watch) bans(n *node) {
	bans, err := get[[]ban](n, "/v1/bans")
	if err != nil {
		return // links has said so
	}
	for _, b := range bans {
		if b.Target == "127.0.0.1" || slices.ContainsFunc(w.nodes, func(o *node) bool { return o.id == b.Target }) {
			w.fault("%s bans %s: %s", n.name, b.Target, b.Reason)
		}
	}
}

func (w *watch) row(s sample) {
	lines := 0
	for _, n := range w.nodes {
		lines = max(lines, n.lines())
	}
	fmt.Printf("%8s  memory %s MiB   files %s   heap %s   known %s   honest links %s   others %s   longest log %d\n",
		s.at.Round(time.Second), text(s.memory, "%.0f"), text(s.files, "%.0f"), text(s.heap, "%.0f"),
		text(s.known, "%d"), text(s.honest, "%d"), text(s.others, "%d"), lines)
}

func text[T any](list []T, format string) string {
	words := make([]string, len(list))
	for i, x := range list {
		words[i] = strings.Replace(fmt.Sprintf(format, x), "-1", "-", 1)
	}
	return strings.Join(words, " ")
}

// formed reports whether the honest network stands before the attacks begin.
func (w *watch) formed() error {
	if len(w.samples) == 0 {
		return errors.New("no sample of the nodes")
	}
	for i, links := range w.samples[len(w.samples)-1].honest {
		if links < min(2, len(w.nodes)-1) {
			return fmt.Errorf("%s has %d links before the attacks; its log is %s",
				w.nodes[i].name, links, w.nodes[i].log())
		}
	}
	w.faults = nil
	return nil
}

// verdict judges the whole run.
func (w *watch) verdict() error {
	n := len(w.samples)
	fmt.Printf("\n%-8s %28s %8s %10s %12s %6s\n",
		"node", "memory, by quarter, MiB", "peak", "least", "honest links", "log")
	for i, x := range w.nodes {
		var quarter [4]float64
		for q := range quarter {
			var m []float64
			for _, s := range w.samples[q*n/4 : (q+1)*n/4] {
				m = append(m, s.memory[i])
			}
			quarter[q] = median(m)
		}
		_, _, peak := x.memory()
		least := -1
		for _, s := range w.samples {
			if s.honest[i] >= 0 && s.at > settling && (least < 0 || s.honest[i] < least) {
				least = s.honest[i]
			}
		}
		last := w.samples[n-1].honest[i]
		lines := x.lines()
		fmt.Printf("%-8s %6.0f %6.0f %6.0f %6.0f  %8.0f %10d %12d %6d\n",
			x.name, quarter[0], quarter[1], quarter[2], quarter[3], peak, least, last, lines)
		if quarter[3] > quarter[1]*mostGrowth+slackMiB {
			w.fault("%s: memory grows, from %.0f to %.0f MiB", x.name, quarter[1], quarter[3])
		}
		if lines >= mostLines {
			w.fault("%s: %d lines of log", x.name, lines)
		}
		if want := min(4, len(w.nodes)-1); last >= 0 && last < want {
			w.fault("%s has %d honest links at the end, wanted %d", x.name, last, want)
		}
	}
	if len(w.faults) > 0 {
		return fmt.Errorf("%d faults, the first: %s", len(w.faults), w.faults[0])
	}
	return nil
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[len(list)/2]
}
