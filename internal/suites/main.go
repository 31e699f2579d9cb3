// Command suites runs CometBFT's own tests of switches and nodes over Switchyard: make chain-suites. It copies
// CometBFT's sources from the module cache into a scratch folder, and there changes the helpers that make the switches
// and nodes of tests (testdata has what replaces them). Each suite runs three times: over CometBFT's own switches, over
// ours on the comet wire, and over ours with QUIC. Nothing of CometBFT's is kept.
//
// It ends with status 1 if a test fails that expected.txt does not name, or if one passes that is to fail by it.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/suitekit"
)

// wires say what carries the links of the switches. The switches of stock are CometBFT's own.
var wires = []string{"stock", "comet", "quic"}

// expectedText lists the tests that are known to fail: wire, suite, test, and why.
//
//go:embed expected.txt
var expectedText string

// suite is a set of CometBFT's tests.
type suite struct {
	name  string
	pkg   string   // folder of the package
	files []string // whose tests are meant; none means all of the package
	// silent says that remotes of its tests exchange node infos and then neither read nor write.
	silent bool
}

var suites = []suite{
	{name: "p2p switch", pkg: "p2p", files: []string{"switch_test.go"}, silent: true},
	{name: "pex", pkg: "p2p/pex", files: []string{"pex_reactor_test.go"}},
	{name: "consensus reactor", pkg: "consensus", files: []string{"reactor_test.go"}},
	{name: "byzantine", pkg: "consensus", files: []string{"byzantine_test.go", "invalid_test.go"}},
	{name: "mempool", pkg: "mempool", files: []string{"reactor_test.go", "app_reactor_test.go"}},
	{name: "evidence", pkg: "evidence", files: []string{"reactor_test.go"}},
	{name: "blocksync", pkg: "blocksync", files: []string{"reactor_test.go", "reactor_adaptive_test.go"}},
	{name: "node", pkg: "node"},
	{name: "rpc/core", pkg: "rpc/core", files: []string{"net_test.go"}},
	{name: "rpc/client", pkg: "rpc/client"},
}

// options are the flags.
type options struct {
	source  string // of this repository
	dir     string
	version string
	suites  string
	wires   string
	run     string
	tries   int
	timeout time.Duration
	out     string
	log     bool
	race    bool
}

func main() {
	var o options
	flag.StringVar(&o.source, "source", ".", "folder of this repository")
	flag.StringVar(&o.dir, "dir", ".cache/suites", "scratch folder")
	flag.StringVar(&o.version, "version", "v0.40.0", "CometBFT's version")
	flag.StringVar(&o.suites, "suites", "", "comma-separated names of suites; empty means all")
	flag.StringVar(&o.wires, "wires", "stock,comet,quic", "comma-separated: stock, comet, quic")
	flag.StringVar(&o.run, "run", "", "run the tests whose names contain this text")
	flag.IntVar(&o.tries, "tries", 3, "how often a failed test may be tried")
	flag.DurationVar(&o.timeout, "timeout", 2*time.Minute, "of one test")
	flag.StringVar(&o.out, "out", "", "write the table to this Markdown file, too")
	flag.BoolVar(&o.log, "log", false, "keep what CometBFT's loggers say, in the scratch folder's logs")
	flag.BoolVar(&o.race, "race", false, "build with the race detector")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	expected, err := suitekit.ReadExpected(expectedText, wires)
	if err != nil {
		return err
	}
	chosen, err := choose(o.suites)
	if err != nil {
		return err
	}
	t, err := makeTree(ctx, o)
	if err != nil {
		return err
	}
	r := &suitekit.Report{Title: "CometBFT " + o.version, Variants: strings.Split(o.wires, ","), Whole: o.run == ""}
	for _, s := range chosen {
		names, err := suitekit.Tests(filepath.Join(t.root, s.pkg), s.files)
		if err != nil {
			return err
		}
		names = containing(names, o.run)
		if len(names) == 0 {
			if o.run != "" {
				continue
			}
			return fmt.Errorf("%s: there are no tests in %s", s.name, s.pkg)
		}
		binary, err := t.build(ctx, s, o.race)
		if err != nil {
			return err
		}
		row := &suitekit.Row{Suite: s.name, Tests: len(names), Results: map[string]suitekit.Results{}}
		r.Rows = append(r.Rows, row)
		for _, w := range r.Variants {
			got, err := t.batch(s, binary, w, o).RunAll(ctx, names, o.tries)
			if err != nil {
				return err
			}
			row.Results[w] = got
			fmt.Printf("%-18s %-6s %3d of %3d passed in %4.0f s%s\n", s.name, w, got.Passed(), len(names),
				got.Seconds, got.Notes())
		}
	}
	fmt.Println()
	fmt.Print(r.Markdown(expected))
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(r.Markdown(expected)), 0o644); err != nil {
			return err
		}
	}
	return r.Judge(expected)
}

func choose(names string) ([]suite, error) {
	if names == "" {
		return suites, nil
	}
	var chosen []suite
next:
	for _, name := range strings.Split(names, ",") {
		for _, s := range suites {
			if s.name == name {
				chosen = append(chosen, s)
				continue next
			}
		}
		return nil, fmt.Errorf("no suite %q", name)
	}
	return chosen, nil
}

func containing(names []string, text string) []string {
	var out []string
	for _, n := range names {
		if strings.Contains(n, text) {
			out = append(out, n)
		}
	}
	return out
}
