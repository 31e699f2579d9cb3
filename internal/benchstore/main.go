// Command benchstore measures our peer store beside four others in one run: CometBFT's AddrBook, btcd's addrmgr,
// go-libp2p's peer stores, and (in a process of its own, see ./tendermint) Tendermint v0.35's peer manager. Each round
// visits all of them in turn at each size, so that a drift of the machine affects all alike. A visit fills a new book
// and measures all operations on it. Small books are visited again and again, so that they stay small while each
// operation gets enough calls. The command prints the medians of all visits with half the distance of their quartiles,
// and their ratios to ours.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/progress"
)

var (
	rounds   = flag.Int("rounds", 3, "rounds of each measurement; medians are printed")
	duration = flag.Duration("time", 300*time.Millisecond, "the most time of each measurement in a visit")
	visits   = flag.Duration("visits", 3*time.Second,
		"how long a round visits new books of a kind and size; at least once")
	budget = flag.Duration("budget", 15*time.Second,
		"the most processor time that a book may take to learn all peers of a size; if it takes more, larger sizes "+
			"are left out too")
	only     = flag.String("only", "", "run only measurements whose name (\"store: add\", for instance) contains this")
	books    = flag.String("books", "", "run only books whose name contains this, beside ours")
	sizes    = flag.String("sizes", "1000,10000,100000,1000000", "numbers of peers")
	csvFile  = flag.String("csv", "", "write all medians and quartiles as CSV")
	jsonFile = flag.String("json", "", "write all medians and quartiles as JSON")
	svgFile  = flag.String("svg", "", "draw what ours costs at each size")
	other    = flag.String("tendermint", "",
		"the program of ./tendermint, which measures Tendermint's peer manager; without it that one is left out")
	cpuFile = flag.String("cpuprofile", "", "write a CPU profile")
	tidy    = flag.Bool("list", false, "list the measurements and stop")
)

func main() {
	flag.Parse()
	log.SetOutput(io.Discard) // of the others
	if *tidy {
		for _, o := range operations {
			fmt.Println(o.full())
		}
		return
	}
	if !slices.ContainsFunc(operations, operation.wanted) {
		return
	}
	var counts []int
	for _, s := range strings.Split(*sizes, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 100 {
			fatal(fmt.Errorf("-sizes: %q is not a number of peers from 100 on", s))
		}
		counts = append(counts, n)
	}
	if *cpuFile != "" {
		f, err := os.Create(*cpuFile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fatal(err)
		}
		defer func() { pprof.StopCPUProfile(); f.Close() }()
	}
	r := results{}
	gaveUp := map[string]bool{}
	for _, n := range counts {
		peers := makePeers(n + 3*grown(n))
		for turn := range *rounds {
			for _, k := range kinds {
				if gaveUp[k.name] || k.visit != nil && *other == "" || n > k.most || *books != "" && !k.ours &&
					!strings.Contains(k.name, *books) {
					continue
				}
				progress.Show("%d peers, round %d of %d: %s", n, turn+1, *rounds, k.name)
				visits, err := round(k, n, peers)
				if err == errBudget {
					progress.End()
					fmt.Fprintf(os.Stderr, "%s takes longer than %v to learn %d peers: left out from there on\n",
						k.name, *budget, n)
					gaveUp[k.name] = true
					continue
				}
				if err != nil {
					fatal(fmt.Errorf("%s with %d peers: %w", k.name, n, err))
				}
				r.add(k.name, n, visits)
			}
		}
	}
	progress.End()
	all := r.cells()
	table(os.Stdout, all, counts)
	for _, out := range []struct {
		file  string
		write func(io.Writer, []cell) error
	}{{*csvFile, writeCSV}, {*jsonFile, writeJSON}, {*svgFile, draw}} {
		if out.file == "" {
			continue
		}
		f, err := os.Create(out.file)
		if err == nil {
			err = out.write(f, all)
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			fatal(err)
		}
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "benchstore:", err)
	os.Exit(1)
}
