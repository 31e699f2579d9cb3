package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery/crawl"
	"github.com/switchyard-p2p/switchyard/modules/cli/live"
	"github.com/switchyard-p2p/switchyard/transport"
)

// crawlLines is how many visits the screen of a crawl lists.
const crawlLines = 200

// crawlNames is how many different versions and reasons are counted: remotes choose the former.
const crawlNames = 1000

// crawlView turns the progress of a crawl into what the screen shows. Progress comes from one goroutine.
type crawlView struct {
	cfg      crawl.Config
	updates  chan live.Crawl
	log      []live.Line
	alive    map[transport.NodeID]bool // as many as there may be dials
	versions map[string]int
	why      map[string]int
	wires    live.Wires
}

func newCrawlView(cfg crawl.Config) *crawlView {
	cfg.MaxDials, cfg.MaxTime = cmp.Or(cfg.MaxDials, crawl.DefaultMaxDials), cmp.Or(cfg.MaxTime, crawl.DefaultMaxTime)
	return &crawlView{cfg: cfg, updates: make(chan live.Crawl, 1), alive: map[transport.NodeID]bool{},
		versions: map[string]int{}, why: map[string]int{}}
}

// watch shows the crawl that run runs. A user who quits ends it, as Ctrl-C does.
func (v *crawlView) watch(ctx context.Context, out live.Output, run func(context.Context) error) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- run(running)
		close(v.updates)
	}()
	// The crawl ends with ctx, and the screen with the crawl.
	err := live.Show(context.WithoutCancel(ctx), out, live.NewCrawl(), v.updates, nil)
	stop()
	return cmp.Or(<-ended, err)
}

// show is a crawl.Config.Progress.
func (v *crawlView) show(p crawl.Progress) {
	now := time.Now()
	if p.Last != nil {
		v.visit(p.Last, now)
	}
	offer(v.updates, live.Crawl{Network: p.Network, Now: now, Elapsed: p.Elapsed, Limit: v.cfg.MaxTime, Dials: p.Dials,
		Budget: v.cfg.MaxDials, Dialing: p.Active, Workers: v.cfg.Workers, Waiting: p.Waiting, Nodes: p.Known,
		Reachable: p.States[crawl.Reachable], SeenOnly: p.States[crawl.Untried],
		Refused: p.States[crawl.FullUp] + p.States[crawl.Refusing], Other: p.States[crawl.Elsewhere],
		Dead: p.States[crawl.Unreachable] + p.States[crawl.WrongKey], Edges: p.Edges, Wires: v.wires,
		Versions: countsOf(v.versions), Why: countsOf(v.why), Log: slices.Clone(v.log)})
}

// visit adds what has come of a visit.
func (v *crawlView) visit(one *crawl.Visit, now time.Time) {
	line := live.Line{Time: now, Kind: live.LineDown, Text: one.Address.String()}
	if one.Proven != "" {
		wire := live.WireOf(one.Wire, one.Transport)
		line.Kind = live.LineOf(wire)
		line.Text += "  " + one.Proven.Short()
		if one.Info != nil {
			line.Text += "  " + clean(one.Info.Moniker) + "  " + clean(one.Info.Version)
		}
		if !v.alive[one.Proven] {
			v.alive[one.Proven] = true
			v.wires.Add(wire)
			if one.Info != nil {
				add(v.versions, one.Info.Version)
			}
		}
	}
	if one.PEX != nil {
		line.Text += fmt.Sprintf("  tells of %d", len(one.Heard))
	}
	if one.Outcome != crawl.Reached {
		add(v.why, cmp.Or(one.Code, string(one.Outcome)))
		line.Text += "  " + cmp.Or(one.Error, string(one.Outcome))
	}
	v.log = append(v.log, line)
	v.log = v.log[max(0, len(v.log)-crawlLines):]
}

func add(to map[string]int, name string) {
	if _, known := to[name]; known || len(to) < crawlNames {
		to[name]++
	}
}

// countsOf returns the five names that occur most.
func countsOf(of map[string]int) (list []live.Count) {
	for name, n := range of {
		list = append(list, live.Count{Name: name, N: n})
	}
	slices.SortFunc(list, func(a, b live.Count) int {
		if a.N != b.N {
			return b.N - a.N
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list[:min(5, len(list))]
}
