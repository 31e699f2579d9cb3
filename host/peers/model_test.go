package peers

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// modelOps is how many random operations the model test does, if nothing else is asked for: see internal/longtest.
const modelOps = 100_000

// The model test does random operations on a peer manager and on a simple reference model of it, and compares after
// each. The model keeps a flat list of links and dials and derives everything else from it by counting; where the
// manager has a choice (whom to dial, whom to evict, jitter) the model checks that the choice is an allowed one.
func TestModel(t *testing.T) {
	usual := modelOps
	if testing.Short() {
		usual /= 10
	}
	total := longtest.Count(t, longtest.Ops, usual)
	from := uint64(501) // seeds with which the rare things that must happen do, few operations as there are
	seed, asked := longtest.FromSeed(t)
	if asked {
		from, total = seed, longtest.Count(t, longtest.Ops, 1)
	}
	const perRun = 5000
	seen := map[string]int{}
	for run := range (total + perRun - 1) / perRun {
		inBubble(t, func(t *testing.T) {
			w := newModel(t, from+uint64(run))
			defer func() {
				if t.Failed() {
					for _, line := range w.log {
						t.Log(line)
					}
				}
			}()
			for w.ops < perRun {
				w.ops++
				w.step()
				w.check()
			}
			for what, n := range w.seen {
				seen[what] += n
			}
		})
	}
	// What must have happened for the test to mean anything.
	if total < modelOps || asked { // too few operations for the rare ones
		return
	}
	must := []string{"dial", "dial trusted", "dial lost", "feeler",
		"feeler works", "churn", "churn evicts", "upgrade",
		"upgrade evicts", "dialed", "accepted", "standby", "replaces", "redialed", "redial fails", "promoted",
		"established closes", "guest uses two",
		"duplicate", "full inbound", "full guests", "enters", "enters and evicts", "entered too late",
		"entry gets a free slot", "not ours", "guest", "per ip", "per group", "banned", "banned for its misdeeds",
		"suspect IP", "evict requested", "evict banned", "role", "quarantine",
		"ready", "down", "no place", "restart", "anchor",
		"move", "move failed", "move arrives", "move refused", "moved", "move loses its link"}
	if total >= 200_000 {
		must = append(must, "dial lost beyond full slots")
	}
	for _, what := range must {
		if seen[what] == 0 {
			t.Errorf("it never happened: %s", what)
		}
	}
	keys := slices.Sorted(maps.Keys(seen))
	for _, k := range keys {
		t.Logf("%8d %s", seen[k], k)
	}
}

type modelLink struct {
	num         uint64
	peering     uint64
	id          transport.NodeID
	side        muxer.Side
	confirms    bool
	guest       bool
	established bool
	free        bool // it counts against no budget
	ip          netip.Addr
	arrived     time.Time
	ready       time.Time
	role        string // "current", "standby", "leaving"
	evict       bool   // its end was asked for
	handed      bool   // and the router told
	entry       bool   // it is beyond a full budget
	useful      int
	latency     time.Duration
	newcomer    bool
	called      bool // its slot is that of a guest that was dialed on request
	lent        bool // it holds no slot: the link that takes its place has it, or shares it with a guest's first one
	why         muxer.Code
	moves       bool       // to a better link, once it is up
	replaces    *modelLink // it takes the place of that one, in a move
	moved       bool       // it has done so
}

// modelSin is what counts against a peer or an IP.
type modelSin struct {
	points, bans int
	since, until time.Time
}

type modelDial struct {
	requested, free, upgrade, feeler, lost bool
	moves                                  uint64 // the link that it replaces
	addrs                                  []transport.Address
}

type model struct {
	t    *testing.T
	m    *pm
	rng  *rand.Rand
	calm bool // links mostly stay: else few are old enough for an upgrade to take their place
	cfg  Config
	ids  []transport.NodeID
	ops  int
	log  []string
	seen map[string]int

	links  []*modelLink
	dials  map[transport.NodeID]*modelDial
	roles  map[transport.NodeID]Role
	lost   map[transport.NodeID]time.Time // when a link that we dialed broke
	felt   time.Time                      // when the last feeler was dialed
	turned time.Time                      // and the last churn
	evicts []uint64                       // asked for, in order
	bans   map[peerstore.Target]time.Time
	score  map[transport.NodeID]int // with since: decays step by step
	since  map[transport.NodeID]time.Time
	sins   map[string]modelSin
	up     map[transport.NodeID]bool   // what subscribers are told
	using  map[transport.NodeID]uint64 // the link that services use
	next   uint64

	fast, slow         *Subscription
	fastView, slowView map[transport.NodeID]bool
}

func newModel(t *testing.T, seed uint64) *model {
	w := &model{t: t, calm: seed%2 == 0, rng: rand.New(rand.NewPCG(seed, 3)), seen: map[string]int{},
		dials: map[transport.NodeID]*modelDial{}, lost: map[transport.NodeID]time.Time{},
		bans: map[peerstore.Target]time.Time{}, score: map[transport.NodeID]int{},
		since: map[transport.NodeID]time.Time{},
		sins:  map[string]modelSin{}, up: map[transport.NodeID]bool{}, using: map[transport.NodeID]uint64{},
		fastView: map[transport.NodeID]bool{}, slowView: map[transport.NodeID]bool{}}
	for i := range 14 {
		w.ids = append(w.ids, lowID(i), highID(i))
	}
	w.cfg = Config{
		Persistent:    []transport.Address{w.addr(w.ids[0], 0), w.addr(w.ids[1], 0)},
		Unconditional: []transport.NodeID{w.ids[2]},
		Private:       []transport.NodeID{w.ids[3]},
		MaxOutbound:   6, MaxInbound: 7, MaxUpgrades: 2, Guests: 3, DialedGuests: 2,
		Feelers: 2 * time.Minute, Churn: 5 * time.Minute,
		ConnectionsPerIP: 3, ConnectionsPerGroup: 6, Dials: 100, DialRate: -1, Seed: seed,
	}
	w.m = newPM(t, w.cfg)
	w.roles = w.configured()
	w.cfg, _ = w.cfg.withDefaults()
	w.fast, w.slow = w.m.Subscribe(t.Context()), w.m.Subscribe(t.Context())
	t.Cleanup(w.fast.Close)
	t.Cleanup(w.slow.Close)
	return w
}

// addr gives peers few IPs and groups, so that the limits matter.
func (w *model) addr(id transport.NodeID, n int) transport.Address {
	i := int(id[len(id)-1])
	return mustAddress(w.t, fmt.Sprintf("/ip4/%d.1.0.%d/tcp/%d/mconn/%s", 1+i%4, 1+i%7+n, 26656+n, id))
}

func (w *model) fatal(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d, operation %d: %s\nagain: %s=%d", w.cfg.Seed, w.ops, fmt.Sprintf(format, args...),
		longtest.Seed, w.cfg.Seed)
}

func (w *model) did(what, format string, args ...any) {
	w.seen[what]++
	if len(w.log) > 60 {
		w.log = w.log[1:]
	}
	w.log = append(w.log, fmt.Sprintf("%d %s: %s: ", w.ops, time.Now().Format("15:04:05.000"), what)+
		fmt.Sprintf(format, args...))
}

func (w *model) exempt(id transport.NodeID) bool {
	return w.roles[id].Trusted || w.roles[id].Unconditional
}
func (w *model) trusted(id transport.NodeID) bool { return w.roles[id].Trusted }

// configured returns the roles that the configuration gives.
func (w *model) configured() map[transport.NodeID]Role {
	return map[transport.NodeID]Role{w.ids[0]: {Trusted: true}, w.ids[1]: {Trusted: true},
		w.ids[2]: {Unconditional: true}, w.ids[3]: {Private: true}}
}

// stepRole gives a peer a role, or takes it.
func (w *model) stepRole() {
	id := w.pick()
	r := []Role{{}, {}, {Trusted: true}, {Unconditional: true}, {Private: true}}[w.rng.IntN(5)]
	rec, _ := w.m.store.Get(id)
	unknown := r.Trusted && len(rec.Addresses) == 0 && w.m.peers[id] == nil
	if err := w.m.SetRole(id, r); (err != nil) != unknown {
		w.fatal("role %+v of %s: %v", r, id, err)
	} else if unknown {
		return
	}
	w.did("role", "%+v of %s", r, id)
	if w.roles[id] = r; w.exempt(id) {
		for _, l := range w.links {
			if l.id == id && l.role != "leaving" && !l.lent {
				l.free, l.entry, l.called = true, false, false
			}
		}
		if d := w.dials[id]; d != nil && !d.feeler {
			d.free, d.upgrade = true, false
		}
	}
	w.settleEntries()
}

func (w *model) of(id transport.NodeID, role string) *modelLink {
	for _, l := range w.links {
		if l.id == id && l.role == role {
			return l
		}
	}
	return nil
}

func (w *model) banned(id transport.NodeID, ip netip.Addr) bool {
	for t, until := range w.bans {
		if !until.IsZero() && !until.After(time.Now()) {
			continue
		}
		if t.ID != "" && t.ID == id || t.Prefix.IsValid() && ip.IsValid() && t.Prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// inbound and outbound count what holds a slot, or waits for one; outbound with the upgrades, links and dials.
func (w *model) inbound() (n int) {
	for _, l := range w.links {
		if l.side == muxer.Listener && !l.guest && l.role != "leaving" && !l.lent && !l.free {
			n++
		}
	}
	return n
}

// guests counts those that hold a slot, or wait for one.
func (w *model) guests() (n int) {
	for _, l := range w.links {
		if l.guest && l.role != "leaving" && !l.lent && !l.free && !l.called {
			n++
		}
	}
	return n
}

// called counts the guests that were dialed on request.
func (w *model) called() (n int) {
	for _, l := range w.links {
		if l.called && l.role != "leaving" && !l.lent {
			n++
		}
	}
	return n
}

func (w *model) outbound() (links, dials int) {
	for _, l := range w.links {
		if l.side == muxer.Dialer && !l.guest && l.role != "leaving" && !l.lent && !l.free {
			links++
		}
	}
	for _, d := range w.dials {
		if !d.free && !d.feeler {
			dials++
		}
	}
	return links, dials
}

func (w *model) pick() transport.NodeID { return w.ids[w.rng.IntN(len(w.ids))] }

func (w *model) anyLink() *modelLink {
	if len(w.links) == 0 {
		return nil
	}
	return w.links[w.rng.IntN(len(w.links))]
}
