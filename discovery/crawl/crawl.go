package crawl

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Config says what to crawl, and how. Transports, Wires and Key are required, and Seeds or a journal (Replay).
type Config struct {
	Transports []transport.Transport
	Wires      []handshake.Wire // in order of preference, for seeds that name no node
	// Key is the public key of the identity behind the wires: a new one for each crawl.
	Key handshake.PublicKey
	// Network is whose nodes we claim to be of; "" means that of the first seed that answers.
	Network string
	Seeds   []transport.Address
	// Moniker and Version are what we say of ourselves; "" means "switchyard-crawler". Contact is added to the version
	// for operators who wonder.
	Moniker, Version, Contact string

	Workers int           // visits at once; 0 means DefaultWorkers, at most MaxWorkers
	Timeout time.Duration // of a dial, and of a handshake; 0 means DefaultTimeout, at most 15 s
	// Private allows private and loopback addresses. A seed with such an address allows them, too.
	Private bool
	Exclude Exclude
	// MaxDials and MaxTime end the crawl; 0 means DefaultMaxDials, DefaultMaxTime.
	MaxDials int
	MaxTime  time.Duration
	// Passes is how often each node that answers is asked; 0 means once. Two passes tell how many nodes are unseen.
	Passes int
	// Recheck visits nodes again that were visited longer ago, in the journal that was replayed; 0 visits none again.
	Recheck time.Duration
	// Journal, if set, gets a line with each visit, in one Write.
	Journal io.Writer
	// Progress, if set, is called after each visit, and now and then, on Run's goroutine; it must not block.
	Progress func(Progress)
	Resolver transport.Resolver // of the host names of seeds; nil means the system's
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case len(c.Transports) == 0 || len(c.Wires) == 0 || c.Key.IsZero():
		return c, errors.New("crawl: Transports, Wires and Key are required")
	case c.Workers < 0 || c.Workers > MaxWorkers:
		return c, fmt.Errorf("crawl: %d workers: want 1 to %d", c.Workers, MaxWorkers)
	case c.Timeout < 0 || c.Timeout > maxTimeout:
		return c, fmt.Errorf("crawl: timeout %v: want at most %v", c.Timeout, maxTimeout)
	case c.MaxDials < 0 || c.MaxTime < 0 || c.Recheck < 0:
		return c, errors.New("crawl: a budget is negative")
	case c.Passes < 0 || c.Passes > maxPasses:
		return c, fmt.Errorf("crawl: %d passes: want 1 to %d", c.Passes, maxPasses)
	}
	c.Workers = cmp.Or(c.Workers, DefaultWorkers)
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	c.MaxDials = cmp.Or(c.MaxDials, DefaultMaxDials)
	c.MaxTime = cmp.Or(c.MaxTime, DefaultMaxTime)
	c.Passes = cmp.Or(c.Passes, 1)
	c.Moniker = cmp.Or(c.Moniker, "switchyard-crawler")
	c.Version = cmp.Or(c.Version, "switchyard-crawler")
	if c.Contact != "" {
		c.Version += " (" + c.Contact + ")"
	}
	return c, nil
}

const (
	maxTimeout = 15 * time.Second
	maxPasses  = 8
	// progressEvery is how often Progress is called while no visit ends.
	progressEvery = time.Second
	// maxSeedIPs is how many IPs of a seed's host name are visited.
	maxSeedIPs = 4
	// resolveTime bounds the look-up of one seed's name.
	resolveTime = 5 * time.Second
)

// Progress is how far a crawl is.
type Progress struct {
	Elapsed time.Duration
	Network string // "" until it is known
	Pass    int
	Dials   int // of this run
	Visits  int // that were completed, with those of the journal
	Active  int // visits in flight
	Waiting int // nodes that are due, or will be
	Known   int
	Alive   int // nodes that have proven their key, in all states
	States  map[State]int
	Edges   int
	Last    *Visit // the one that has just ended, without Heard; nil between visits
}

// Crawler crawls one network. Its methods are for one goroutine, one after the other.
type Crawler struct {
	cfg     Config
	visitor visitor
	scope   scope
	atlas   *atlas
	pace    *pace
	queue   queue
	pass    int
	dials   int // of this run
	seeds   []transport.Address
	began   time.Time
	why     string // why Run ended before everything was done; "" if it did not
}

// New checks cfg and starts nothing.
func New(cfg Config) (*Crawler, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Crawler{cfg: cfg, atlas: newAtlas(), pace: newPace(), pass: 1, seeds: cfg.Seeds}
	c.visitor = visitor{transports: cfg.Transports, wires: cfg.Wires, self: cfg.Key, moniker: cfg.Moniker,
		version: cfg.Version, timeout: cfg.Timeout, scope: &c.scope}
	c.scope = scope{private: cfg.Private, exclude: cfg.Exclude, self: cfg.Key.NodeID(), dials: c.visitor.dials}
	for _, s := range cfg.Seeds {
		if err := handshake.CheckAddress(s, cfg.Transports, cfg.Wires); err != nil {
			return nil, err
		}
		c.widen(s)
	}
	return c, nil
}

// widen allows what a seed shows to be wanted.
func (c *Crawler) widen(seed transport.Address) {
	switch ip, isIP := seed.IP(); {
	case isIP && !transport.IsPublicIP(ip):
		c.scope.private = true
	case seed.Network() == "memory":
		c.scope.memory = true
	case seed.IsLoopback() || seed.IsPrivate():
		c.scope.private = true
	}
}

// Replay reads the journal of an earlier crawl, before Run, which then goes on where that stopped. It returns how many
// bytes of it are whole lines; what follows is a torn line, which the caller cuts off before it appends to the journal.
func (c *Crawler) Replay(r io.Reader) (whole int64, err error) {
	now := time.Now()
	network := c.cfg.Network
	var odd string
	whole, err = readJournal(r, func(v *Visit) {
		if v.Network != "" && network == "" {
			network = v.Network
		}
		if v.Network != "" && v.Network != network && odd == "" {
			odd = v.Network
		}
		c.atlas.apply(v)
		if v.Seed {
			c.widen(v.Address)
		}
		if now.Sub(v.Time) < perIP {
			c.pace.note(v.Address, v.Time)
		}
	})
	if err == nil && odd != "" {
		err = fmt.Errorf("journal: it is of network %.60q, not of %.60q", odd, network)
	}
	return whole, err
}

// result is a visit that has ended, and the node that was visited.
type result struct {
	visit *Visit
	node  int32
	ok    bool // ctx did not end it
}

// Run crawls until there is nobody left to visit, ctx ends, or a budget is spent; in the last two cases the Map is
// partial, and Run returns nil all the same. Its errors are those of the journal, and of seeds that have none. Run is
// called once.
func (c *Crawler) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.MaxTime)
	defer cancel()
	c.began = time.Now()
	if err := c.start(ctx); err != nil {
		return err
	}
	results := make(chan result)
	var wg sync.WaitGroup
	defer wg.Wait()
	var failed error
	timer := time.NewTimer(0)
	defer timer.Stop()
	for active := 0; ; {
		next := time.Time{}
		if ctx.Err() == nil && failed == nil {
			next = c.launch(&active, func(i int32, addr transport.Address, network string, seed bool) {
				wg.Go(func() {
					v, ok := c.visitor.visit(ctx, addr, network, seed)
					results <- result{v, i, ok}
				})
			})
		}
		if active == 0 && (ctx.Err() != nil || failed != nil || next.IsZero()) {
			break
		}
		wait := progressEvery
		if !next.IsZero() {
			wait = min(wait, time.Until(next))
		}
		timer.Reset(wait)
		done := ctx.Done()
		if ctx.Err() != nil {
			done = nil // now we wait for the visits only
		}
		select {
		case r := <-results:
			active--
			if err := c.take(r); err != nil && failed == nil {
				failed = err
				cancel()
			}
			c.tell(active, r.visit)
		case <-timer.C:
			c.tell(active, nil)
		case <-done:
		}
	}
	switch {
	case failed != nil:
		return failed
	case ctx.Err() != nil && time.Since(c.began) >= c.cfg.MaxTime:
		c.why = fmt.Sprintf("the time of %v is over", c.cfg.MaxTime)
	case ctx.Err() != nil:
		c.why = "interrupted"
	}
	c.tell(0, nil)
	return nil
}

// start puts the seeds, and what the journal left open, into the queue.
func (c *Crawler) start(ctx context.Context) error {
	if len(c.seeds) == 0 && len(c.atlas.nodes) == 0 {
		return errors.New("crawl: there is no seed, and no journal")
	}
	now := time.Now()
	for _, s := range c.seeds {
		addresses := []transport.Address{s}
		if s.HasName() {
			var err error
			if addresses, err = c.resolve(ctx, s); err != nil {
				return fmt.Errorf("crawl: %w", err)
			}
		}
		// A name server does not decide that private addresses are wanted.
		addresses = slices.DeleteFunc(addresses, func(a transport.Address) bool { return !c.scope.allows(a) })
		if len(addresses) == 0 {
			return fmt.Errorf("crawl: %s is excluded, our own, or leads to private addresses only", s)
		}
		for _, a := range addresses {
			c.atlas.seed(a, now)
		}
	}
	if c.cfg.Network != "" {
		c.atlas.network = c.cfg.Network
	}
	for i, n := range c.atlas.nodes {
		if c.cfg.Recheck > 0 && n.last != nil && now.Sub(n.last.Time) > c.cfg.Recheck {
			n.again, n.turned = true, 0
			for k := range n.spots {
				n.spots[k].tries = 0
			}
		}
		c.enqueue(int32(i))
	}
	return nil
}

// resolve returns the addresses of a seed with a host name. An IP stands for the pace, so no transport resolves names.
func (c *Crawler) resolve(ctx context.Context, seed transport.Address) (out []transport.Address, err error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	ips, err := transport.Resolve(ctx, c.cfg.Resolver, "ip", seed.Host())
	if err != nil {
		return nil, err
	}
	for _, ip := range ips[:min(len(ips), maxSeedIPs)] {
		if a, ok := seed.WithIP(ip); ok {
			out = append(out, a)
		}
	}
	return out, nil
}

// enqueue puts a node into the queue if it is to be visited.
func (c *Crawler) enqueue(i int32) {
	n := c.atlas.nodes[i]
	s, due := c.choose(n)
	if s == nil || n.waiting {
		return
	}
	n.due, n.waiting = due, true
	heap.Push(&c.queue, queued{due, i})
}

// choose returns which address of a node to visit next, and when; nil for none. Those that may not be dialed, as what
// is allowed has changed since the journal was written, it gives up.
func (c *Crawler) choose(n *node) (*spot, time.Time) {
	for {
		s, due := n.choose(c.pass)
		if s == nil || c.scope.allows(s.address) {
			return s, due
		}
		s.tries = maxTries
	}
}

// launch starts the visits that are due, while there are workers, and returns when the next one is; the zero time if
// nothing waits. At the end of a pass it begins another.
func (c *Crawler) launch(active *int, begin func(int32, transport.Address, string, bool)) time.Time {
	for {
		now := time.Now()
		for len(c.queue) > 0 {
			most := c.cfg.Workers
			if c.atlas.network == "" {
				most = 1 // the first visit learns the network
			}
			if *active >= most {
				return now.Add(progressEvery) // a visit ends before anything else is to be done
			}
			if c.dials >= c.cfg.MaxDials {
				c.why = fmt.Sprintf("the budget of %d dials is spent", c.cfg.MaxDials)
				return time.Time{}
			}
			q := c.queue[0]
			if q.due.After(now) {
				return q.due
			}
			heap.Pop(&c.queue)
			n := c.atlas.nodes[q.node]
			n.waiting = false
			s, due := c.choose(n)
			if s == nil {
				continue
			}
			if at := c.pace.until(s.address, now); at.After(due) {
				due = at
			}
			if due.After(now) {
				n.due, n.waiting = due, true
				heap.Push(&c.queue, queued{due, q.node})
				continue
			}
			c.pace.begin(s.address, now)
			n.flying = true
			c.dials++
			*active++
			begin(q.node, s.address, c.atlas.network, n.seed)
		}
		if *active > 0 || !c.more() {
			return time.Time{}
		}
	}
}

// more finds further work when the queue is empty and no visit is in flight.
func (c *Crawler) more() bool {
	for _, i := range c.atlas.release() {
		c.enqueue(i)
	}
	for len(c.queue) == 0 && c.pass < c.cfg.Passes {
		c.pass++
		for i := range c.atlas.nodes {
			c.enqueue(int32(i))
		}
	}
	return len(c.queue) > 0
}

// take adds a visit that has ended to the journal and the atlas.
func (c *Crawler) take(r result) error {
	n := c.atlas.nodes[r.node]
	n.flying = false
	c.pace.end(r.visit.Address)
	c.dials += max(r.visit.Dials-1, 0)
	if !r.ok {
		return nil
	}
	if c.cfg.Journal != nil {
		if err := writeVisit(c.cfg.Journal, r.visit); err != nil {
			return err
		}
	}
	for _, i := range c.atlas.apply(r.visit) {
		c.enqueue(i)
	}
	return nil
}

// tell calls Progress.
func (c *Crawler) tell(active int, last *Visit) {
	if c.cfg.Progress == nil {
		return
	}
	p := Progress{Elapsed: time.Since(c.began), Network: c.atlas.network, Pass: c.pass, Dials: c.dials,
		Visits: c.atlas.visits, Active: active, Waiting: len(c.queue), Edges: c.atlas.tells,
		States: make(map[State]int, len(c.atlas.states))}
	for s, n := range c.atlas.states {
		p.States[s] = n
		p.Known += n
		if s.Alive() {
			p.Alive += n
		}
	}
	if last != nil {
		v := *last
		v.Heard = nil
		p.Last = &v
	}
	c.cfg.Progress(p)
}

// Partial returns why Run ended before everything was done, "" if it did not.
func (c *Crawler) Partial() string { return c.why }

// queued is a node that waits for its time.
type queued struct {
	due  time.Time
	node int32
}

// queue is a heap of them, the soonest first; of the same time, the one that was known first.
type queue []queued

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if c := q[i].due.Compare(q[j].due); c != 0 {
		return c < 0
	}
	return q[i].node < q[j].node
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(queued)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = slices.Delete(*q, len(*q)-1, len(*q))
	return last
}
