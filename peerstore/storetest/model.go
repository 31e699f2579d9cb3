package storetest

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// model is the contract in its plainest form: maps, and scans of them. A test applies random operations to a store and
// to the model, and compares their results and their contents.
type model struct {
	inputs
	t    testing.TB
	f    Factory
	seed uint64
	s    peerstore.Store
	// told is the last time that the store was told.
	told   time.Time
	step   int
	filled bool // overfull has been true
	op     string

	peers map[transport.NodeID]*peerstore.Record // replaced, never changed
	meta  map[string]string
	// hidden are peers that a ban or a quarantine held back and that have not changed since: the store may advertise
	// them later than it could.
	hidden map[transport.NodeID]bool
	// quiet are the states that peers had before failures that the store need not persist
	quiet map[transport.NodeID][]*peerstore.Record
	// linked are peers that are being dialed, or were dialed with success and still are linked.
	linked []transport.NodeID
	room   []peerstore.AddressRecord // of Query
	seen   map[string]int            // what happened how often

	// What a crash may leave of a peer or a small value: its state when it was last persisted, or any later one. nil
	// and "" stand for none.
	saved       map[transport.NodeID]*peerstore.Record
	since       map[transport.NodeID][]*peerstore.Record
	savedValues map[string]string
	sinceValues map[string][]string
}

// modelStart is when a model's time begins. A run follows from the world, its seed and the store alone.
var modelStart = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// RunModel runs the model test alone, as Run does among others.
func RunModel(t *testing.T, f Factory) { t.Run("Model", func(t *testing.T) { testModel(t, f) }) }

// testModel plays in all worlds.
func testModel(t *testing.T, f Factory) {
	usual := f.Ops
	if usual == 0 {
		usual = 30_000
	}
	if testing.Short() {
		usual /= 3
	}
	ops := longtest.Count(t, longtest.Ops, usual)
	for i := range worlds {
		w := &worlds[i]
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			one, asked := longtest.FromSeed(t)
			left, first := ops*w.part/10, uint64(1)
			if asked {
				first = one
				if os.Getenv(longtest.Ops) == "" {
					left = w.run
				}
			}
			p := progress{t: t, runs: (left + w.run - 1) / w.run, seen: make(map[string]int)}
			t.Cleanup(p.end)
			for run := range p.runs {
				seed, ops := first+uint64(run), min(left-run*w.run, w.run)
				t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
					t.Parallel()
					if !p.failed() {
						p.done(play(t, f, w, seed, ops))
					}
				})
			}
		})
	}
}

// progress counts the parallel runs in a world.
type progress struct {
	t    *testing.T
	runs int

	mu   sync.Mutex
	past int
	seen map[string]int // what happened how often
}

// failed reports whether a run has failed, so that the others need not begin.
func (p *progress) failed() bool { return p.t.Failed() }

// done counts a run, and logs each tenth.
func (p *progress) done(seen map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for what, n := range seen {
		p.seen[what] += n
	}
	p.past++
	if p.past*10/p.runs > (p.past-1)*10/p.runs {
		p.t.Logf("%d of %d runs", p.past, p.runs)
	}
}

func (p *progress) end() {
	for _, what := range slices.Sorted(maps.Keys(p.seen)) {
		p.t.Logf("%9d %s", p.seen[what], what)
	}
}

// play runs operations on one store, and counts what happened.
func play(t *testing.T, f Factory, w *world, seed uint64, ops int) (seen map[string]int) {
	m := &model{
		t: t, f: f, seed: seed, s: f.New(t, w.limits, seed), told: modelStart, seen: make(map[string]int),
		peers:  make(map[transport.NodeID]*peerstore.Record),
		meta:   make(map[string]string),
		hidden: make(map[transport.NodeID]bool),
		quiet:  make(map[transport.NodeID][]*peerstore.Record),
	}
	m.inputs = inputs{
		rules: rules{limits: w.limits, groups: m.s.Groups(), now: modelStart,
			bans: make(map[peerstore.Target]peerstore.Ban), missed: make(map[transport.NodeID]int),
			worked: make(map[bool]time.Time)},
		w: w, m: newMix(seed),
	}
	m.flushed()
	for m.step = range ops {
		m.do()
		m.check(m.step%w.every == 0 || m.step == ops-1)
	}
	m.op = "Close"
	if err := m.s.Close(); err != nil {
		m.fatalf("%v", err)
	}
	return m.seen
}

func (m *model) fatalf(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s world, seed %d, operation %d, after %s: %s\nagain: %s=%d go test -run '/Model/%s'", m.w.name, m.seed,
		m.step, m.op, fmt.Sprintf(format, args...),
		longtest.Seed, m.seed, m.w.name)
}

func (m *model) did(what string) { m.seen[what]++ }

func (m *inputs) node() int { return m.m.IntN(m.w.peers) }

// id returns a node, mostly a known one.
func (m *inputs) id() transport.NodeID {
	id, _, _ := nodeOf(m.node())
	return id
}

func (m *inputs) address() transport.Address {
	k := m.m.IntN(modelAddresses)
	if m.w.crowded {
		k = min(k, m.m.IntN(modelAddresses))
	}
	return m.w.addressOf(m.node(), k)
}

// soon returns a time in the past, in the future, or none.
func (m *inputs) soon() time.Time {
	switch m.m.IntN(4) {
	case 0:
		return time.Time{}
	case 1:
		return m.now.Add(-time.Duration(m.m.IntN(100)) * time.Second)
	}
	return m.now.Add(time.Duration(m.m.IntN(100)) * time.Second)
}

// set records a peer's new state.
func (m *model) set(r *peerstore.Record) {
	if old := m.peers[r.ID]; old != nil && alikeOnDisk(old, r) {
		m.quiet[r.ID] = append(m.quiet[r.ID], old)
	} else {
		delete(m.quiet, r.ID)
	}
	m.peers[r.ID] = r
	m.since[r.ID] = append(m.since[r.ID], r)
	now := m.now
	m.now = m.told // Update brings no time
	if m.barred(r) {
		m.hidden[r.ID] = true
	} else {
		delete(m.hidden, r.ID)
	}
	m.now = now
}

// drop removes a peer from the model.
func (m *model) drop(id transport.NodeID) {
	if _, ok := m.peers[id]; ok {
		delete(m.peers, id)
		delete(m.hidden, id)
		delete(m.missed, id)
		delete(m.quiet, id)
		m.since[id] = append(m.since[id], nil)
	}
}

// settle removes from the model what the store has removed in this operation, and checks that it was allowed to.
func (m *model) settle() {
	if m.s.Stats().Known == len(m.peers) {
		return
	}
	var gone []*peerstore.Record
	for id, r := range m.peers {
		if _, ok := m.s.Get(id); ok {
			continue
		}
		if m.hopeless(r) {
			m.drop(id)
			m.did("forgotten")
			if m.s.Stats().Known < min(1000, m.limits.MaxPeers/4) {
				m.fatalf("%s was forgotten, and only %+v are left", id.Short(), m.s.Stats())
			}
			continue
		}
		gone = append(gone, r)
	}
	if len(gone) == 0 {
		return
	}
	before := len(m.peers)
	for _, r := range gone {
		m.drop(r.ID)
		if m.kept(r) {
			m.fatalf("%s was dropped, and must be kept: %+v", r.ID.Short(), *r)
		}
	}
	switch over := before - m.limits.MaxPeers; {
	case over > 0 && len(gone) <= over:
		m.did("pruned")
	case m.w.crowded && m.overfull():
		m.did("displaced")
		return
	default:
		m.fatalf("%d peers of %d were dropped without need: %+v", len(gone), before, *gone[0])
	}
	if m.w.crowded {
		return
	}
	for _, r := range gone {
		for _, o := range m.peers {
			if !m.kept(o) && worse(o, r) {
				m.fatalf("%+v was dropped, but %+v is worse", *r, *o)
			}
		}
	}
}

// overfull reports whether a bucket, or the share of a source, may be full: both hold at least this many.
func (m *model) overfull() bool { return len(m.peers) >= 64 }

// check compares the store with the model: everything, or a few peers.
func (m *model) check(all bool) {
	m.settle()
	m.filled = m.filled || m.overfull()
	if m.f.Check != nil && (all || m.step%m.w.index == 0) {
		if err := m.f.Check(m.s); err != nil {
			m.fatalf("%v", err)
		}
	}
	st := m.s.Stats()
	if st.Known != len(m.peers) || st.New != st.Known-st.Tried {
		m.fatalf("%+v, want %d known", st, len(m.peers))
	}
	if !all {
		for range 3 {
			m.look(m.id())
		}
		return
	}
	met, tried := 0, 0
	m.s.Range(func(r peerstore.Record) bool {
		met++
		if r.InTried {
			tried++
		}
		m.compare(&r)
		return true
	})
	if met != len(m.peers) || tried != st.Tried {
		m.fatalf("Range tells of %d peers, %d of them tried; %+v", met, tried, st)
	}
	for key := range 4 {
		k := "key" + strconv.Itoa(key)
		if got := m.s.Meta(k); string(got) != m.meta[k] {
			m.fatalf("%s is %q, want %q", k, got, m.meta[k])
		}
	}
	m.checkBans()
}

// look compares one peer.
func (m *model) look(id transport.NodeID) {
	r, ok := m.s.Get(id)
	if _, want := m.peers[id]; ok != want {
		m.fatalf("%s is known: %v, want %v", id.Short(), ok, want)
	}
	if ok {
		m.compare(&r)
	}
}

func (m *model) compare(got *peerstore.Record) {
	want := m.peers[got.ID]
	if want == nil {
		m.fatalf("%s is known: %+v", got.ID.Short(), *got)
	}
	if !Equal(*got, *want) {
		m.fatalf("%s is\n%+v, want\n%+v", got.ID.Short(), *got, *want)
	}
	// A peer that found its bucket full when it worked, or when the store was opened, tries again when it works the
	// next time. By then most of the others may have gone.
	if has := want.Tried(); got.InTried && !has || !got.InTried && has && !(m.w.crowded && m.filled) {
		m.fatalf("%s in the tried table: %v", got.ID.Short(), got.InTried)
	}
}

// checkBans compares the bans that hold.
func (m *model) checkBans() {
	held := 0
	for _, b := range m.bans {
		if m.holds(&b) {
			held++
		}
	}
	got := m.s.Bans(m.now)
	for _, b := range got {
		want, ok := m.bans[b.Target]
		if !ok || !b.Until.Equal(want.Until) || !b.Since.Equal(want.Since) || b.Reason != want.Reason {
			m.fatalf("ban %+v, want %+v", b, want)
		}
	}
	if len(got) != held || held > m.limits.MaxBans {
		m.fatalf("%d bans, want %d", len(got), held)
	}
}

// Equal reports whether two records are the same, with times compared as times.
func Equal(a, b peerstore.Record) bool {
	same := a.ID == b.ID && a.Trusted == b.Trusted && a.Unconditional == b.Unconditional && a.Private == b.Private &&
		a.Busy == b.Busy &&
		a.Score == b.Score && a.Height == b.Height && a.Failures == b.Failures &&
		a.QuarantineReason == b.QuarantineReason &&
		a.FirstSeen.Equal(b.FirstSeen) && a.Scored.Equal(b.Scored) && a.LastConnected.Equal(b.LastConnected) &&
		a.LastDisconnected.Equal(b.LastDisconnected) && a.NotBefore.Equal(b.NotBefore) &&
		a.Quarantined.Equal(b.Quarantined)
	return same && slices.EqualFunc(a.Addresses, b.Addresses, func(a, b peerstore.AddressRecord) bool {
		return a.Address == b.Address && a.Source == b.Source && a.Failures == b.Failures &&
			a.LastError == b.LastError &&
			a.FirstHeard.Equal(b.FirstHeard) && a.LastHeard.Equal(b.LastHeard) && a.LastDialed.Equal(b.LastDialed) &&
			a.LastSuccess.Equal(b.LastSuccess) && a.NotBefore.Equal(b.NotBefore)
	})
}
