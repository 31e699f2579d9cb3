// Command suites runs the tests of go-libp2p-pubsub and go-libp2p-kad-dht over Switchyard's hosts: make
// golibp2p-suites. It copies their sources from the module cache into a scratch folder, and there lets their tests
// import, in place of the packages that make hosts, those of folder hosts. Each suite runs several times: over
// go-libp2p's own hosts, and over ours. Nothing of theirs is kept.
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
	"slices"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/suitekit"
)

// variants are what the hosts are. Those of stock are go-libp2p's own; ours have one security, or QUIC, or all.
var variants = []string{"stock", "noise", "tls", "quic", "all"}

// expectedText lists the tests that are known to fail: variants, test, and why.
//
//go:embed expected.txt
var expectedText string

// options are the flags.
type options struct {
	source   string // of this repository
	dir      string
	versions map[string]string // by the name of a project
	suites   string
	variants string
	run      string
	tries    int
	timeout  time.Duration
	out      string
	race     bool
}

func main() {
	o := options{versions: map[string]string{}}
	flag.StringVar(&o.source, "source", ".", "folder of this repository")
	flag.StringVar(&o.dir, "dir", ".cache/golibp2p-suites", "scratch folder")
	pubsub := flag.String("pubsub", "v0.19.0", "version of go-libp2p-pubsub")
	kad := flag.String("kad-dht", "v0.42.1", "version of go-libp2p-kad-dht")
	flag.StringVar(&o.suites, "suites", "", "comma-separated names of suites; empty means all")
	flag.StringVar(&o.variants, "variants", "stock,noise,tls,quic", "comma-separated: "+strings.Join(variants, ", "))
	flag.StringVar(&o.run, "run", "", "run the tests whose names contain this text")
	flag.IntVar(&o.tries, "tries", 3, "how often a failed test may be tried")
	flag.DurationVar(&o.timeout, "timeout", 3*time.Minute, "of one test")
	flag.StringVar(&o.out, "out", "", "write the table to this Markdown file, too")
	flag.BoolVar(&o.race, "race", false, "build with the race detector")
	flag.Parse()
	o.versions["pubsub"], o.versions["kad-dht"] = *pubsub, *kad
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "suites:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	expected, err := suitekit.ReadExpected(expectedText, variants)
	if err != nil {
		return err
	}
	chosen, err := choose(o.suites)
	if err != nil {
		return err
	}
	r := &suitekit.Report{Title: fmt.Sprintf("go-libp2p-pubsub %s, go-libp2p-kad-dht %s", o.versions["pubsub"],
		o.versions["kad-dht"]), Variants: strings.Split(o.variants, ","), Whole: o.run == ""}
	trees := map[string]*tree{}
	for _, s := range chosen {
		t := trees[s.project]
		if t == nil {
			if t, err = makeTree(ctx, projects[s.project], o); err != nil {
				return err
			}
			trees[s.project] = t
		}
		row, err := t.run(ctx, s, r.Variants, o)
		if err != nil {
			return err
		}
		if row.Tests > 0 {
			r.Rows = append(r.Rows, row)
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
	for _, name := range strings.Split(names, ",") {
		i := slices.IndexFunc(suites, func(s suite) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no suite %q", name)
		}
		chosen = append(chosen, suites[i])
	}
	return chosen, nil
}
