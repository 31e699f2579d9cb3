package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/discovery/crawl"
	"github.com/switchyard-p2p/switchyard/modules/cli/live"
	"github.com/switchyard-p2p/switchyard/transport"
)

// crawlFlags are the flags of crawl.
type crawlFlags struct {
	visit                         visitFlags
	workers, passes               int
	contact, exclude, budget, out string
	asn                           string
	systems                       *crawl.ASMap // of asn; nil without
	private, strict, plain        bool
	recheck                       time.Duration
	maxDials                      int
	maxTime                       time.Duration
}

// crawlJournal is the journal's name in the folder of --out.
const crawlJournal = "visits.jsonl"

// crawlCommand makes the command of a program.
func crawlCommand(p *Program) *cobra.Command {
	f := crawlFlags{visit: visitFlags{home: home{p: p}}}
	cmd := &cobra.Command{
		Use: "crawl ADDRESS...", Short: "Walk a network through peer exchange, and draw what is there",
		Long: "Walk a network through peer exchange, and draw what is there: visit each node, ask it once for the\n" +
			"addresses that it knows, hang up, and go on with these. It visits an IP once in 30 seconds at most.\n\n" +
			addressHelp +
			"Without --network and --home, the first node that answers names the network. Private and loopback\n" +
			"addresses are visited with --private, or when an ADDRESS is one.\n\n" +
			"With --out, a folder keeps the journal (visits.jsonl) and the map (nodes.jsonl, edges.jsonl,\n" +
			"summary.json, map.html), and a later crawl with the same folder goes on where this one stopped, also\n" +
			"without ADDRESS.\n" +
			"Ctrl-C ends a crawl with what it has found; with --strict the exit code is 3 then.",
		Args: func(*cobra.Command, []string) error { return nil }, // check says what is missing
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	v := &f.visit
	v.home.homeFlag(cmd)
	cmd.Flags().Lookup("home").Usage = "claim the network of this node, use its stack, and leave its peers.private out"
	cmd.Flags().StringVar(&v.network, "network", "", "the network to crawl (default: that of --home, else the seed's)")
	complete(cmd, "network", values{v.home.p}.networks)
	cmd.Flags().DurationVar(&v.timeout, "timeout", crawl.DefaultTimeout, "how long a dial, and a handshake, may take")
	cmd.Flags().IntVar(&f.workers, "workers", crawl.DefaultWorkers, "visits at once, 1 to 64")
	cmd.Flags().StringVar(&f.contact, "contact", "", "what to tell operators of you, such as an e-mail address")
	cmd.Flags().BoolVar(&f.private, "private", false, "visit private and loopback addresses, too")
	cmd.Flags().StringVar(&f.exclude, "exclude", "", "a file of node ids, IPs and networks that are never visited")
	cmd.Flags().StringVar(&f.asn, "asn", "", "a file that says of which autonomous system each IP is")
	cmd.Flags().StringVar(&f.budget, "budget", "", "the most dials, the most time, or both, such as 5000,20m "+
		"(default 50000,1h)")
	cmd.Flags().IntVar(&f.passes, "passes", 1, "how often each node is asked; 2 tells how many are unseen")
	cmd.Flags().DurationVar(&f.recheck, "recheck", 0, "with --out, visit nodes again whose last visit is older")
	cmd.Flags().StringVar(&f.out, "out", "", "the folder for journal and map")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "exit with 3 if the map is partial")
	jsonFlag(cmd, &v.json)
	cmd.Flags().BoolVar(&f.plain, "plain", false, "print a line each 2 s, on a terminal, too")
	cmd.AddCommand(crawlExportCommand())
	return cmd
}

// run runs the command.
func (f *crawlFlags) run(cmd *cobra.Command, args []string) (err error) {
	ctx := cmd.Context()
	cfg, err := f.config(ctx, args)
	if err != nil {
		return err
	}
	view := newCrawlView(cfg)
	if !f.visit.json {
		cfg.Progress = view.show
	}
	var journal *os.File
	if f.out != "" {
		if journal, err = openJournal(f.out); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, journal.Close()) }()
		cfg.Journal = journal
	}
	c, err := crawl.New(cfg)
	if err != nil {
		return err
	}
	if journal != nil {
		if err := replay(c, journal, f.out); err != nil {
			return err
		}
	}
	if f.visit.json {
		err = c.Run(ctx)
	} else {
		err = view.watch(ctx, live.Output{In: cmd.InOrStdin(), Out: cmd.OutOrStdout(), Plain: f.plain}, c.Run)
	}
	if err != nil {
		return err
	}
	m := c.Map()
	if f.systems != nil {
		m.SetSystems(f.systems)
	}
	if f.out != "" {
		if err := writeMap(f.out, m); err != nil {
			return err
		}
	}
	if f.visit.json {
		err = printJSON(cmd.OutOrStdout(), struct {
			Summary *crawl.Summary `json:"summary"`
			Nodes   []crawl.Node   `json:"nodes"`
		}{&m.Summary, m.Nodes})
	} else {
		drawMap(cmd.OutOrStdout(), m, f.out)
	}
	if s := &m.Summary; err == nil && s.Here+s.Away+s.Others == 0 && !s.Partial {
		return fmt.Errorf("crawl: nobody answered%s", reasonOf(s))
	}
	if err == nil && f.strict && m.Summary.Partial {
		err = &partialError{fmt.Sprintf("crawl: the map is partial: %s", m.Summary.Why)}
	}
	return err
}

// reasonOf says why most of the visits failed.
func reasonOf(s *crawl.Summary) string {
	if len(s.Reasons) == 0 {
		return ""
	}
	return ": " + s.Reasons[0].Name
}

// partialError says that a command did a part of its work.
type partialError struct{ text string }

func (e *partialError) Error() string { return e.text }

// config checks the flags, and makes what a crawl needs.
func (f *crawlFlags) config(ctx context.Context, args []string) (cfg crawl.Config, err error) {
	switch {
	case len(args) == 0 && f.out == "":
		return cfg, usage("crawl: ADDRESS is missing: a node of the network, or --out with an earlier crawl's folder")
	case f.workers < 1 || f.workers > crawl.MaxWorkers:
		return cfg, usage("--workers %d: want 1 to %d", f.workers, crawl.MaxWorkers)
	case f.passes < 1 || f.passes > 8:
		return cfg, usage("--passes %d: want 1 to 8", f.passes)
	case f.recheck < 0:
		return cfg, usage("--recheck %v: want 0 or more", f.recheck)
	case f.visit.timeout > 15*time.Second:
		return cfg, usage("--timeout %v: want at most 15s", f.visit.timeout)
	case len(f.contact) > 100:
		return cfg, usage("--contact: want at most 100 characters")
	}
	for _, r := range f.contact {
		if r < 32 || r > 126 {
			return cfg, usage("--contact %q: want plain ASCII", f.contact)
		}
	}
	if err := f.parseBudget(); err != nil {
		return cfg, err
	}
	v, err := f.visit.visitor(ctx)
	if err != nil {
		return cfg, err
	}
	cfg = crawl.Config{
		Transports: v.transports, Wires: v.wires, Key: v.key, Network: v.network, Version: v.version,
		Contact: f.contact, Workers: f.workers, Timeout: f.visit.timeout, Private: f.private, MaxDials: f.maxDials,
		MaxTime: f.maxTime, Passes: f.passes, Recheck: f.recheck,
	}
	for _, text := range args {
		a, err := address(text)
		if err != nil {
			return cfg, err
		}
		cfg.Seeds = append(cfg.Seeds, a)
	}
	if f.exclude != "" {
		file, err := os.Open(f.exclude)
		if err != nil {
			return cfg, usage("--exclude: %w", err)
		}
		defer file.Close()
		if cfg.Exclude, err = crawl.ReadExclude(file); err != nil {
			return cfg, usage("--exclude %s: %w", f.exclude, err)
		}
	}
	if f.systems, err = readSystems(f.asn); err != nil {
		return cfg, err
	}
	for _, text := range v.cfg.Peers.Private {
		if id, err := transport.ParseNodeID(text); err == nil {
			if cfg.Exclude.IDs == nil {
				cfg.Exclude.IDs = make(map[transport.NodeID]bool)
			}
			cfg.Exclude.IDs[id] = true
		}
	}
	return cfg, nil
}

// parseBudget reads --budget: a number of dials, a time, or both.
func (f *crawlFlags) parseBudget() error {
	if f.budget == "" {
		return nil
	}
	for _, part := range strings.Split(f.budget, ",") {
		part = strings.TrimSpace(part)
		if n, err := strconv.Atoi(part); err == nil && n > 0 && f.maxDials == 0 {
			f.maxDials = n
		} else if d, err := time.ParseDuration(part); err == nil && d > 0 && f.maxTime == 0 {
			f.maxTime = d
		} else {
			return usage("--budget %q: want a number of dials, a time, or both, such as 5000,20m", f.budget)
		}
	}
	return nil
}

// openJournal opens, or makes, the journal of a folder, for this crawl alone.
func openJournal(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("--out: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, crawlJournal), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("--out: %w", err)
	}
	free, err := lockJournal(f)
	if err == nil && !free {
		err = fmt.Errorf("%s: another crawl writes there; wait for its end, or name another folder", f.Name())
	}
	if err != nil {
		return nil, fmt.Errorf("--out: %w", errors.Join(err, f.Close()))
	}
	return f, nil
}

// readSystems reads the file of --asn; nil for none.
func readSystems(name string) (*crawl.ASMap, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, usage("--asn: %w", err)
	}
	defer f.Close()
	systems, err := crawl.ReadASMap(f)
	if err != nil {
		return nil, usage("--asn %s: %w", name, err)
	}
	return systems, nil
}

// replay reads the journal, cuts a torn last line off, and leaves the file at its end.
func replay(c *crawl.Crawler, journal *os.File, dir string) error {
	whole, err := c.Replay(journal)
	if err == nil {
		err = journal.Truncate(whole)
	}
	if err == nil {
		_, err = journal.Seek(whole, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("%s: %w (another folder begins anew)", filepath.Join(dir, crawlJournal), err)
	}
	return nil
}

// writeMap writes what is made of the journal into the folder.
func writeMap(dir string, m *crawl.Map) error {
	for name, write := range map[string]func(io.Writer) error{"nodes.jsonl": m.WriteNodes, "edges.jsonl": m.WriteEdges,
		"summary.json": m.WriteSummary, "map.html": m.WriteHTML} {
		if err := replaceFile(filepath.Join(dir, name), write); err != nil {
			return err
		}
	}
	return nil
}
