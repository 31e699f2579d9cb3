package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// churned kills, stops and pauses nodes, one after another, for the length of the soak, while transactions flow. At its
// end the network is as it was: the judge finds nothing, goroutines and memory have not grown, and no log of ours tells
// of a data race or a panic.
func churned(ctx context.Context, w *network) (string, error) {
	if err := sleep(ctx, settle); err != nil {
		return "", err
	}
	before := w.sizes(ctx)
	t := newTraffic(ctx, w)
	defer t.end()
	random := rand.New(rand.NewPCG(1, 2))
	rounds := 0
	for end := time.Now().Add(w.soak); time.Now().Before(end); rounds++ {
		n := w.nodes[random.IntN(len(w.nodes))]
		what := ""
		switch random.IntN(4) {
		case 0:
			what = "killed"
			n.kill()
		case 1:
			what = "stopped"
			if err := n.stop(); err != nil {
				return "", err
			}
		case 2:
			what = "paused"
			n.pause()
		case 3:
			what = "restarted at once"
			n.kill()
			if err := n.start(); err != nil {
				return "", err
			}
		}
		if err := sleep(ctx, time.Duration(1+random.IntN(10))*time.Second); err != nil {
			return "", err
		}
		switch what {
		case "paused":
			n.resume()
		case "killed", "stopped":
			if err := n.start(); err != nil {
				return "", err
			}
		}
		// It answers again, and makes blocks with the others.
		if err := n.reach(ctx, 0, time.Minute); err != nil {
			return "", fmt.Errorf("round %d, %s %s: %w", rounds, n.name, what, err)
		}
		h, err := w.highest(ctx)
		if err == nil {
			err = n.reach(ctx, h+2, 2*time.Minute)
		}
		if err != nil {
			return "", fmt.Errorf("round %d, %s %s: %w", rounds, n.name, what, err)
		}
	}
	note := t.end()
	if err := sleep(ctx, settle); err != nil {
		return "", err
	}
	f, err := judge(ctx, w)
	after := w.sizes(ctx)
	errs := []error{err}
	for i, n := range w.nodes {
		a, b := before[i], after[i]
		fmt.Printf("     %s (%c): %d goroutines, %.0f MiB before; %d, %.0f MiB after\n", n.name, n.kind,
			a.goroutines, a.mib, b.goroutines, b.mib)
		if b.goroutines > a.goroutines+a.goroutines/4+20 {
			errs = append(errs, fmt.Errorf("%s: %d goroutines became %d", n.name, a.goroutines, b.goroutines))
		}
		if b.mib > 2*a.mib+100 {
			errs = append(errs, fmt.Errorf("%s: %.0f MiB became %.0f", n.name, a.mib, b.mib))
		}
		errs = append(errs, judgeLog(n))
	}
	return fmt.Sprintf("%d rounds, %s, %s", rounds, note, f), errors.Join(errs...)
}

const settle = 20 * time.Second

// size is what a node's process holds.
type size struct {
	goroutines int
	mib        float64
}

func (w *network) sizes(ctx context.Context) (all []size) {
	for _, n := range w.nodes {
		_, mib := n.process.usage()
		all = append(all, size{n.goroutines(ctx), mib})
	}
	return all
}

var profileTotal = regexp.MustCompile(`goroutine profile: total (\d+)`)

// goroutines returns how many the node has; -1 if it does not say.
func (n *node) goroutines(ctx context.Context) int {
	req, err := http.NewRequestWithContext(ctx, "GET",
		fmt.Sprintf("http://%s:%d/debug/pprof/goroutine?debug=1", n.host, n.profile), nil)
	if err != nil {
		return -1
	}
	resp, err := n.http.Do(req)
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	head := make([]byte, 100)
	size, _ := io.ReadFull(resp.Body, head)
	m := profileTotal.FindSubmatch(head[:size])
	if m == nil {
		return -1
	}
	count, _ := strconv.Atoi(string(m[1]))
	return count
}

// judgeLog returns an error if the log of a node of ours has a data race or a panic that names our code. It prints
// other panics.
func judgeLog(n *node) error {
	if !n.kind.ours() {
		return nil
	}
	data, err := os.ReadFile(n.home + ".log")
	if err != nil {
		return err
	}
	const frame = "switchyard-p2p/switchyard"
	var errs []error
	for _, report := range strings.Split(string(data), "==================") {
		if strings.Contains(report, "WARNING: DATA RACE") && strings.Contains(report, frame) {
			errs = append(errs, fmt.Errorf("%s: %s", n.name, report))
		}
	}
	for i, rest := range strings.Split(string(data), "\npanic: ") {
		report, _, _ := strings.Cut(rest, "\nI[") // the log goes on
		switch {
		case i == 0: // before the first
		case strings.Contains(report, frame):
			errs = append(errs, fmt.Errorf("%s: panic: %.3000s", n.name, report))
		default: // CometBFT ends with its goroutines at work on a database that is closed
			first, _, _ := strings.Cut(report, "\n")
			fmt.Printf("     %s: a panic of CometBFT's own: %s\n", n.name, first)
		}
	}
	return errors.Join(errs...)
}
