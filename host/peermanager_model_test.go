package host

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// modelOps is how many random operations the model test does; SWITCHYARD_MODEL_OPS sets another number.
const modelOps = 100_000

// The model test does random operations on a peer manager and on a simple reference model of it, and compares after each. The model keeps a flat list of
// links and dials and derives everything else from it by counting; where the manager has a choice (whom to dial, whom to evict, jitter) the
// model checks that the choice is an allowed one.
func TestPeerManagerModel(t *testing.T) {
	total := modelOps
	if testing.Short() {
		total /= 10
	}
	if s := os.Getenv("SWITCHYARD_MODEL_OPS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		total = n
	}
	const perRun = 5000
	seen := map[string]int{}
	for seed := range (total + perRun - 1) / perRun {
		inBubble(t, func(t *testing.T) {
			w := newModel(t, uint64(seed)+1)
			defer func() {
				if t.Failed() {
					for _, line := range w.log {
						t.Log(line)
					}
				}
			}()
			for w.ops < min(perRun, total) {
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
	for _, what := range []string{"dial", "dial trusted", "upgrade", "upgrade evicts", "dialed", "accepted", "standby", "replaces", "promoted", "grace closes",
		"duplicate", "full inbound", "per ip", "per group", "banned", "evict requested", "evict banned", "quarantine", "expired", "ready", "down", "no place"} {
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
	num       uint64
	id        transport.NodeID
	side      muxer.Side
	acked     bool
	graced    bool
	requested bool
	ip        netip.Addr
	arrived   time.Time
	ready     time.Time
	role      string // "current", "standby", "leaving"
	evict     bool   // its end was asked for
	handed    bool   // and the router told
	why       muxer.Code
}

type modelDial struct {
	requested, upgrade bool
	addrs              []transport.Address
}

type model struct {
	t    *testing.T
	m    *pm
	rng  *rand.Rand
	cfg  PeerConfig
	ids  []transport.NodeID
	ops  int
	log  []string
	seen map[string]int

	links  []*modelLink
	dials  map[transport.NodeID]*modelDial
	evicts []uint64 // asked for, in order
	bans   map[peerstore.Target]time.Time
	score  map[transport.NodeID]int // with since: decays step by step
	since  map[transport.NodeID]time.Time
	up     map[transport.NodeID]bool
	next   uint64

	fast, slow         *Subscription
	fastView, slowView map[transport.NodeID]bool
}

func newModel(t *testing.T, seed uint64) *model {
	w := &model{t: t, rng: rand.New(rand.NewPCG(seed, 3)), seen: map[string]int{}, dials: map[transport.NodeID]*modelDial{},
		bans: map[peerstore.Target]time.Time{}, score: map[transport.NodeID]int{}, since: map[transport.NodeID]time.Time{},
		up: map[transport.NodeID]bool{}, fastView: map[transport.NodeID]bool{}, slowView: map[transport.NodeID]bool{}}
	for i := range 14 {
		w.ids = append(w.ids, lowID(i), highID(i))
	}
	w.cfg = PeerConfig{
		Persistent:    []transport.Address{w.addr(w.ids[0], 0), w.addr(w.ids[1], 0)},
		Unconditional: []transport.NodeID{w.ids[2]},
		Private:       []transport.NodeID{w.ids[3]},
		MaxOutbound:   6, MaxInbound: 7, MaxUpgrades: 2, ConnectionsPerIP: 3, ConnectionsPerGroup: 6, Seed: seed,
	}
	w.m = newPM(t, w.cfg)
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
	w.t.Fatalf("operation %d: %s", w.ops, fmt.Sprintf(format, args...))
}

func (w *model) did(what, format string, args ...any) {
	w.seen[what]++
	if len(w.log) > 60 {
		w.log = w.log[1:]
	}
	w.log = append(w.log, fmt.Sprintf("%d %s: %s: ", w.ops, time.Now().Format("15:04:05.000"), what)+fmt.Sprintf(format, args...))
}

func (w *model) exempt(id transport.NodeID) bool { return w.trusted(id) || id == w.ids[2] }
func (w *model) trusted(id transport.NodeID) bool {
	return id == w.ids[0] || id == w.ids[1]
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

// inbound and outbound count what holds a slot; outbound with the upgrades, links and dials.
func (w *model) inbound() (n int) {
	for _, l := range w.links {
		if l.side == muxer.Listener && l.role != "leaving" && !w.exempt(l.id) {
			n++
		}
	}
	return n
}

func (w *model) outbound() (links, dials int) {
	for _, l := range w.links {
		if l.side == muxer.Dialer && l.role != "leaving" && !w.exempt(l.id) && !l.requested {
			links++
		}
	}
	for id, d := range w.dials {
		if !d.requested && !w.trusted(id) {
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

func (w *model) step() {
	switch n := w.rng.IntN(100); {
	case n < 10:
		w.stepLearn()
	case n < 25:
		w.stepDial()
	case n < 38:
		w.stepDialEnds()
	case n < 52:
		w.stepAccept()
	case n < 67:
		w.stepReady()
	case n < 72:
		w.stepGrace()
	case n < 81:
		w.stepDown()
	case n < 88:
		w.stepEvict()
	case n < 92:
		w.stepReport()
	case n < 93:
		w.stepBan()
	case n < 94:
		w.stepRequest()
	case n < 95:
		w.stepBeginDial()
	default:
		w.stepTime()
	}
}

func (w *model) stepLearn() {
	id := w.pick()
	addr := w.addr(id, w.rng.IntN(3))
	got := w.m.Add(addr, peerstore.Source{Kind: "pex"})
	w.did("learn", "%s %v", addr, got)
	if got && w.banned(id, netip.Addr{}) {
		w.fatal("learned the banned %s", id)
	}
}

func (w *model) stepTime() {
	d := []time.Duration{time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 12 * time.Second, time.Minute, 10 * time.Minute, 2 * time.Hour}[min(w.rng.IntN(7), w.rng.IntN(7)+w.rng.IntN(2))]
	w.did("time", "%s", d)
	time.Sleep(d)
}

func (w *model) stepDial() {
	links, dials := w.outbound()
	free := w.cfg.MaxOutbound - links - dials
	now := time.Now()
	due := func(id transport.NodeID) (addrs []transport.Address) { // what may be dialed of a peer, as the store has it
		rec, ok := w.m.store.Get(id)
		if !ok || w.dials[id] != nil || w.of(id, "current") != nil || w.of(id, "leaving") != nil || rec.NotBefore.After(now) || rec.Quarantined.After(now) ||
			w.banned(id, netip.Addr{}) {
			return nil
		}
		for _, a := range rec.Addresses {
			ip, _ := a.Address.IP()
			if !a.NotBefore.After(now) && !w.banned("", ip) && (w.exempt(id) || w.full(ip) == "") {
				addrs = append(addrs, a.Address)
			}
		}
		return addrs
	}
	mayDial := map[transport.NodeID][]transport.Address{}
	for _, id := range w.ids {
		if addrs := due(id); addrs != nil {
			mayDial[id] = addrs
		}
	}
	d, ok := w.m.TryDialNext()
	if !ok {
		for id := range mayDial {
			if w.trusted(id) || free > 0 {
				w.fatal("no dial, but %s is due", id)
			}
		}
		w.did("no dial", "")
		return
	}
	want := mayDial[d.ID]
	if want == nil || len(d.Addresses) != len(want) {
		w.fatal("dials %+v, may dial %v", d, want)
	}
	for _, a := range d.Addresses {
		if !slices.Contains(want, a) {
			w.fatal("dials %s, which is not due", a)
		}
	}
	switch {
	case w.trusted(d.ID):
		w.did("dial trusted", "%s", d.ID)
	case d.Upgrade:
		if free > 0 || links+dials >= w.cfg.MaxOutbound+w.cfg.MaxUpgrades {
			w.fatal("upgrade %s with %d free slots, %d links and %d dials", d.ID, free, links, dials)
		}
		best := -1000
		for _, id := range w.ids {
			if mayDial[id] != nil {
				best = max(best, w.scoreOf(id))
			}
		}
		if s := w.scoreOf(d.ID); s < upgradeMargin || s < best {
			w.fatal("upgrade %s with a score of %d, the best has %d", d.ID, s, best)
		}
		w.did("upgrade", "%s", d.ID)
	default:
		if free <= 0 {
			w.fatal("dials %s without a free slot", d.ID)
		}
		w.did("dial", "%s", d.ID)
	}
	if !w.trusted(d.ID) {
		for id := range mayDial {
			if w.trusted(id) {
				w.fatal("dials %s before the trusted %s", d.ID, id)
			}
		}
	}
	w.dials[d.ID] = &modelDial{upgrade: d.Upgrade, addrs: d.Addresses}
}

func (w *model) stepBeginDial() {
	id := w.pick()
	addr := w.addr(id, 0)
	ip, _ := addr.IP()
	err := w.m.BeginDial(addr)
	current := w.of(id, "current")
	var want muxer.Code
	switch {
	case w.banned(id, ip):
		want = muxer.CodeBanned
	case w.dials[id] != nil, current != nil && !current.evict:
		want = muxer.CodeDuplicate
	}
	var d *DisconnectError
	if errors.As(err, &d); (err != nil) != (want != 0) || err != nil && d.Code != want {
		w.fatal("begin to dial %s: %v, want %v", id, err, want)
	}
	w.did("begin dial", "%s %v", id, err)
	if err == nil {
		w.dials[id] = &modelDial{requested: true, addrs: []transport.Address{addr}}
	}
}

func (w *model) stepDialEnds() {
	if len(w.dials) == 0 {
		return
	}
	ids := slices.Sorted(maps.Keys(w.dials))
	id := ids[w.rng.IntN(len(ids))]
	d := w.dials[id]
	if w.rng.IntN(100) < 60 && !w.dead(id) {
		addr := d.addrs[w.rng.IntN(len(d.addrs))]
		ip, _ := addr.IP()
		w.arrive(id, muxer.Dialer, d, ip, addr)
		return
	}
	before, known := w.m.store.Get(id)
	now := time.Now()
	var failures []DialFailure
	counts, quarantined := false, false
	gone := map[transport.Address]bool{}
	for _, a := range d.addrs {
		var err error
		kind := w.rng.IntN(8)
		if w.dead(id) {
			kind = 8
		}
		switch kind {
		case 0:
			err = &handshake.Refusal{Code: muxer.CodeTooManyPeers, Remote: true}
			w.did("no place", "%s", id)
		case 1:
			err = &handshake.Refusal{Code: muxer.CodeDuplicate, Remote: true}
		case 2:
			if w.rng.IntN(4) == 0 {
				err = handshake.Fail("info", muxer.CodeWrongNetwork, errors.New("x"))
				quarantined = true
				w.did("quarantine", "%s", id)
				break
			}
			fallthrough
		case 3:
			err = &DisconnectError{Code: muxer.CodeShuttingDown}
		default:
			err = errUnreachable
			counts = true
		}
		failures = append(failures, DialFailure{a, err})
	}
	w.m.DialFailed(id, failures)
	delete(w.dials, id)
	rec, still := w.m.store.Get(id)
	w.did("dial failed", "%s %v", id, counts)
	if !known {
		return
	}
	linked := w.of(id, "current") != nil
	if !still {
		if w.exempt(id) || linked || before.Failures < maxFailuresUntried-1 && len(before.Addresses) > len(gone) {
			w.fatal("%s was forgotten after %d failures", id, before.Failures)
		}
		w.forget(id)
		w.did("expired", "%s", id)
		return
	}
	most := w.cfg.MaxBackoff
	if rec.Trusted {
		most = w.cfg.MaxTrustedBackoff
	}
	if counts && !linked {
		if rec.Failures != before.Failures+1 {
			w.fatal("%s has %d failures after %d", id, rec.Failures, before.Failures)
		}
		low := most * 3 / 4
		if rec.Failures < 30 {
			low = min(w.cfg.MinBackoff<<(rec.Failures-1), low)
		}
		if rec.NotBefore.Before(now.Add(low)) {
			w.fatal("%s rests %s after %d failures, want %s", id, rec.NotBefore.Sub(now), rec.Failures, low)
		}
	} else if rec.Failures != before.Failures {
		w.fatal("%s has %d failures after %d", id, rec.Failures, before.Failures)
	}
	if rec.NotBefore.After(later(before.NotBefore, now.Add(most))) {
		w.fatal("%s rests %s", id, rec.NotBefore.Sub(now))
	}
	if quarantined && (rec.Quarantined.Before(now.Add(min(w.cfg.Quarantine, w.cfg.MaxTrustedBackoff))) || rec.Quarantined.After(now.Add(w.cfg.Quarantine))) {
		w.fatal("%s is in quarantine until %s", id, rec.Quarantined)
	}
}

// forget is what the model does when the store has dropped a peer.
func (w *model) forget(id transport.NodeID) {
	delete(w.score, id)
	delete(w.since, id)
}

// dead peers never answer.
func (w *model) dead(id transport.NodeID) bool { return id == w.ids[4] || id == w.ids[5] }

func (w *model) stepAccept() {
	id := w.pick()
	if w.rng.IntN(2) == 0 { // most of what is interesting happens while there is a dial, or another link
		if len(w.dials) > 0 {
			ids := slices.Sorted(maps.Keys(w.dials))
			id = ids[w.rng.IntN(len(ids))]
		} else if l := w.anyLink(); l != nil {
			id = l.id
		}
	}
	if w.dead(id) {
		return
	}
	ip, _ := w.addr(id, 0).IP()
	switch w.rng.IntN(4) {
	case 0:
		ip = netip.MustParseAddr("127.0.0.1")
	case 1:
		ip = netip.Addr{}
	}
	w.arrive(id, muxer.Listener, nil, ip, transport.Address{})
}

// full says which limit on connections an IP has reached.
func (w *model) full(ip netip.Addr) string {
	if !ip.IsValid() || ip.IsLoopback() {
		return ""
	}
	same, group := 0, 0
	for _, l := range w.links {
		if l.ip == ip {
			same++
		}
		if l.ip.IsValid() && !l.ip.IsLoopback() && transport.IPGroup(l.ip) == transport.IPGroup(ip) {
			group++
		}
	}
	switch {
	case same >= w.cfg.ConnectionsPerIP:
		return "per ip"
	case group >= w.cfg.ConnectionsPerGroup:
		return "per group"
	}
	return ""
}

func (w *model) settled(l *modelLink) bool {
	return l.graced && !l.acked || time.Since(l.arrived) >= simultaneity
}

// lowerDialed says that the lower node id dialed the link.
func lowerDialed(l *modelLink) bool {
	if l.side == muxer.Dialer {
		return pmSelf < l.id
	}
	return l.id < pmSelf
}

func (w *model) arrive(id transport.NodeID, side muxer.Side, d *modelDial, ip netip.Addr, addr transport.Address) {
	w.next++
	a := Arrival{ID: id, LinkID: w.next, IP: ip, Dialed: addr, Acked: w.rng.IntN(2) == 0}
	l := &modelLink{num: w.next, id: id, side: side, acked: a.Acked, ip: ip, arrived: time.Now(), role: "current", requested: d != nil && d.requested}
	delete(w.dials, id)
	if d == nil && side == muxer.Listener { // an inbound link does not end a dial
		if w.m.peers[id] != nil && w.m.peers[id].dial != nil {
			pd := w.m.peers[id].dial
			w.dials[id] = &modelDial{requested: pd.requested, upgrade: pd.slot == slotUpgrade, addrs: w.pending(id)}
		}
	}
	c, s := w.of(id, "current"), w.of(id, "standby")
	out, outDials := w.outbound()
	in := w.inbound()
	own := 0 // slots that its own leaving links give up
	for _, o := range []*modelLink{c, s} {
		if c != nil && c.evict && o != nil && o.side == side && !o.requested {
			own++
		}
	}
	want := ""
	full := w.full(ip)
	switch {
	case w.banned(id, ip):
		want = "banned"
	case full != "" && !w.exempt(id) && !l.requested:
		want = full
	case c != nil && !c.evict && (w.settled(c) || s != nil):
		want = "duplicate"
	case c != nil && !c.evict && c.acked && !(l.side != c.side && lowerDialed(l)):
		want = "duplicate"
	case w.exempt(id) || l.requested:
	case side == muxer.Listener && in-own >= w.cfg.MaxInbound:
		want = "full inbound"
	}
	var v Verdict
	var err error
	if side == muxer.Dialer {
		v, err = w.m.Dialed(a)
	} else {
		v, err = w.m.Accepted(a)
	}
	got := w.reasonOf(err)
	if got == "full outbound" && want == "" && side == muxer.Dialer && d.upgrade && out+outDials-own >= w.cfg.MaxOutbound {
		want = got // an upgrade whose victim has gone
	}
	if got != want {
		w.fatal("link %d of %s (%v): %q (%v), want %q", l.num, id, side, got, err, want)
	}
	if err != nil {
		w.did(got, "link %d of %s", l.num, id)
		return
	}
	if c != nil && c.evict {
		c.role = "leaving"
		if s != nil {
			s.role = "leaving"
		}
		c = nil
	}
	var wantV Verdict
	switch {
	case c == nil:
	case l.side != c.side && lowerDialed(l):
		wantV.Replaces = c.num
		c.role = "standby"
		w.did("replaces", "link %d of %s", l.num, id)
	default:
		wantV.Standby = true
		l.role = "standby"
		w.did("standby", "link %d of %s", l.num, id)
	}
	if v != wantV {
		w.fatal("link %d of %s: verdict %+v, want %+v", l.num, id, v, wantV)
	}
	w.links = append(w.links, l)
	w.did(map[muxer.Side]string{muxer.Dialer: "dialed", muxer.Listener: "accepted"}[side], "link %d of %s", l.num, id)
}

// pending are the addresses of the dial in progress: the model keeps them itself, this is only for a dial that an inbound link overlaps.
func (w *model) pending(id transport.NodeID) []transport.Address {
	return []transport.Address{w.addr(id, 0)}
}

func (w *model) reasonOf(err error) string {
	if err == nil {
		return ""
	}
	var d *DisconnectError
	if !errors.As(err, &d) {
		w.fatal("untyped error %v", err)
	}
	switch {
	case d.Code == muxer.CodeBanned:
		return "banned"
	case d.Code == muxer.CodeDuplicate:
		return "duplicate"
	case d.Limit == "peers.max_inbound":
		return "full inbound"
	case d.Limit == "peers.max_outbound":
		return "full outbound"
	case d.Limit == "limits.connections_per_ip":
		return "per ip"
	case d.Limit == "limits.connections_per_group":
		return "per group"
	}
	return err.Error()
}

func (w *model) stepReady() {
	l := w.anyLink()
	if l == nil {
		return
	}
	want := l.role == "current" && !l.evict
	if got := w.m.Ready(l.id, l.num, []byte{1}); got != want {
		w.fatal("link %d of %s ready: %v", l.num, l.id, got)
	}
	if !want {
		return
	}
	w.did("ready", "link %d of %s", l.num, l.id)
	if l.ready.IsZero() {
		l.ready = time.Now()
	}
	w.up[l.id] = true
	w.learnEvictions()
}

// learnEvictions takes over what the manager has asked for by itself: the victims of upgrades, and upgrades without a victim.
func (w *model) learnEvictions() {
	for _, num := range w.m.evictQ {
		if slices.Contains(w.evicts, num) {
			continue
		}
		w.evicts = append(w.evicts, num)
		for _, l := range w.links {
			if l.num != num {
				continue
			}
			if w.exempt(l.id) || l.requested || l.side != muxer.Dialer || l.evict || l.ready.IsZero() {
				w.fatal("an upgrade evicts %+v", *l)
			}
			l.evict, l.why = true, w.m.links[num].evict.Code
			w.did("upgrade evicts", "link %d of %s", l.num, l.id)
		}
	}
}

func (w *model) stepGrace() {
	l := w.anyLink()
	if l == nil {
		return
	}
	l.graced = true
	var want uint64
	if s := w.of(l.id, "standby"); l.role == "current" && s != nil {
		want = s.num
		s.role, s.evict, s.handed = "leaving", true, true
		w.did("grace closes", "link %d of %s", s.num, s.id)
	}
	if got := w.m.Graced(l.id, l.num); got != want {
		w.fatal("grace of link %d of %s closes %d, want %d", l.num, l.id, got, want)
	}
}

func (w *model) stepDown() {
	l := w.anyLink()
	if l == nil {
		return
	}
	code := []muxer.Code{muxer.CodeRemoteClosed, muxer.CodeTransport, muxer.CodeTooManyPeers, muxer.CodeProtocolError, muxer.CodeDuplicate}[w.rng.IntN(5)]
	w.disconnect(l, code)
}

func (w *model) disconnect(l *modelLink, code muxer.Code) {
	w.links = slices.DeleteFunc(w.links, func(o *modelLink) bool { return o == l })
	var want uint64
	s := w.of(l.id, "standby")
	if l.role == "current" && s != nil {
		if s.evict {
			s.role = "leaving"
		} else {
			s.role, want = "current", s.num
			w.did("promoted", "link %d of %s", s.num, s.id)
		}
	}
	before, known := w.m.store.Get(l.id)
	if got := w.m.Disconnected(l.id, l.num, &DisconnectError{Code: code}); got != want {
		w.fatal("end of link %d of %s promotes %d, want %d", l.num, l.id, got, want)
	}
	w.did("down", "link %d of %s, %s", l.num, l.id, code)
	if w.of(l.id, "current") == nil {
		delete(w.up, l.id)
	}
	rec, still := w.m.store.Get(l.id)
	if !still {
		if known && w.exempt(l.id) {
			w.fatal("%s was forgotten", l.id)
		}
		w.forget(l.id)
		return
	}
	if w.of(l.id, "current") == nil && w.of(l.id, "leaving") == nil && known {
		if code == muxer.CodeProtocolError {
			w.addScore(l.id, -penalty)
		}
		stable := !l.ready.IsZero() && time.Since(l.ready) >= w.cfg.StableAfter
		switch {
		case stable && rec.Failures > 1, !stable && rec.Failures < before.Failures:
			w.fatal("%s: stable %v, %d failures after %d", l.id, stable, rec.Failures, before.Failures)
		case rec.NotBefore.Before(time.Now().Add(w.cfg.MinBackoff)):
			w.fatal("%s rests %s", l.id, time.Until(rec.NotBefore))
		}
	}
}

func (w *model) stepEvict() {
	e, ok := w.m.TryEvictNext()
	var want *modelLink
	for want == nil && len(w.evicts) > 0 {
		for _, l := range w.links {
			if l.num == w.evicts[0] && !l.handed {
				want = l
			}
		}
		w.evicts = w.evicts[1:]
	}
	if (want != nil) != ok {
		w.fatal("eviction %+v %v, want %+v", e, ok, want) // nothing ever goes beyond capacity here
	}
	if !ok {
		return
	}
	if e.LinkID != want.num || e.ID != want.id || e.Reason.Code != want.why {
		w.fatal("eviction %+v, want %+v", e, *want)
	}
	w.did("evict "+want.why.String(), "link %d of %s", want.num, want.id)
	want.handed = true
	if w.rng.IntN(3) > 0 {
		w.disconnect(want, e.Reason.Code)
	}
}

func (w *model) request(id transport.NodeID, code muxer.Code) {
	for _, role := range []string{"current", "standby"} {
		if l := w.of(id, role); l != nil && !l.evict {
			l.evict, l.why = true, code
			w.evicts = append(w.evicts, l.num)
		}
	}
}

func (w *model) stepRequest() {
	id := w.pick()
	w.m.PeerManager.Disconnect(id, nil)
	w.request(id, muxer.CodeRequested)
	w.did("request", "%s", id)
}

func (w *model) stepReport() {
	id := w.pick()
	if w.rng.IntN(8) == 0 {
		id = transport.NodeID(fmt.Sprintf("77%038x", w.rng.IntN(1000))) // unknown
	}
	_, known := w.m.store.Get(id)
	b := Behaviour{Points: w.rng.IntN(61) - 20}
	if w.rng.IntN(20) == 0 {
		b.Points = []int{1 << 40, -1 << 40, 1<<63 - 1, -1 << 63}[w.rng.IntN(4)]
	}
	if w.rng.IntN(6) == 0 {
		b.Severity = Severity(w.rng.IntN(4))
	}
	w.m.Report(id, b)
	w.did("report", "%s %+v", id, b)
	if !known {
		return
	}
	points := b.Points
	if b.Severity > Log && points > 0 {
		points = -points
	}
	if b.Severity > Log && points == 0 {
		points = []int{0, -penalty, -disconnectPenalty, -banPenalty}[b.Severity]
	}
	w.addScore(id, points)
	switch {
	case b.Severity == Ban && !w.exempt(id):
		w.bans[peerstore.Target{ID: id}] = time.Now().Add(reportBan)
		w.request(id, muxer.CodeBanned)
	case b.Severity >= Disconnect:
		w.request(id, muxer.CodeMisbehaved)
	}
}

func (w *model) stepBan() {
	target := peerstore.Target{ID: w.pick()}
	if w.rng.IntN(4) == 0 {
		ip, _ := w.addr(w.pick(), 0).IP()
		target = peerstore.Target{Prefix: netip.PrefixFrom(ip, 32)}
	}
	if len(w.bans) > 0 && w.rng.IntN(2) == 0 { // lift one
		targets := slices.SortedFunc(maps.Keys(w.bans), func(a, b peerstore.Target) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		target = targets[w.rng.IntN(len(targets))]
		if _, err := w.m.Unban(target); err != nil {
			w.fatal("%v", err)
		}
		delete(w.bans, target)
		w.did("unban", "%+v", target)
		return
	}
	until := time.Now().Add(time.Duration(1+w.rng.IntN(3600)) * time.Second)
	if err := w.m.Ban(target, until, "test"); err != nil {
		w.fatal("%v", err)
	}
	w.bans[target] = until
	w.did("ban", "%+v", target)
	ids := slices.Clone(w.ids)
	slices.Sort(ids)
	for _, id := range ids {
		match := id == target.ID
		for _, l := range w.links {
			match = match || l.id == id && target.Prefix.IsValid() && l.ip.IsValid() && target.Prefix.Contains(l.ip)
		}
		if match {
			w.request(id, muxer.CodeBanned)
		}
	}
}

// The reference for scores: one point a step, one step at a time.
func (w *model) decay(id transport.NodeID) {
	for w.score[id] != 0 && time.Since(w.since[id]) >= scoreStep {
		w.since[id] = w.since[id].Add(scoreStep)
		if w.score[id] > 0 {
			w.score[id]--
		} else {
			w.score[id]++
		}
	}
	if w.score[id] == 0 {
		w.since[id] = time.Now()
	}
}

func (w *model) addScore(id transport.NodeID, points int) {
	w.decay(id)
	points = min(max(points, -1000), 1000)
	w.score[id] = min(max(w.score[id]+points, peerstore.MinScore), peerstore.MaxScore)
}

func (w *model) scoreOf(id transport.NodeID) int {
	w.decay(id)
	return w.score[id]
}

// check compares the manager with the model after an operation.
func (w *model) check() {
	m := w.m
	links, dials := w.outbound()
	in := w.inbound()
	var trusted, leaving int
	current := map[transport.NodeID]int{}
	for _, l := range w.links {
		switch {
		case l.role == "leaving":
			leaving++
		case w.exempt(l.id) || l.requested:
			trusted++
		}
		if l.role == "current" {
			current[l.id]++
		}
		ml := m.links[l.num]
		if ml == nil || ml.peer.id != l.id || (ml == ml.peer.current) != (l.role == "current") || (ml == ml.peer.standby) != (l.role == "standby") ||
			(ml.evict != nil) != l.evict || ml.evicting != l.handed {
			w.fatal("link %+v is %+v", *l, ml)
		}
	}
	if len(m.links) != len(w.links) {
		w.fatal("%d links, want %d", len(m.links), len(w.links))
	}
	for id, n := range current {
		if n != 1 {
			w.fatal("%s has %d links", id, n)
		}
	}
	c := m.Counts()
	// Upgrades are what goes beyond the outbound slots, and nothing else.
	if c.Inbound != in || c.Trusted != trusted || c.Outbound+c.Upgrades != links || c.Dialing != len(w.dials) {
		w.fatal("counts %+v, want inbound %d, trusted %d, outbound %d, dials %d", c, in, trusted, links, len(w.dials))
	}
	upgrades := m.linked[slotUpgrade] + m.dialing[slotUpgrade]
	if upgrades != max(0, links+dials-w.cfg.MaxOutbound) || upgrades > w.cfg.MaxUpgrades || in > w.cfg.MaxInbound {
		w.fatal("%d upgrades, %d links and %d dials out, %d in", upgrades, links, dials, in)
	}
	w.checkPeers()
	w.checkViews()
	for id := range w.score {
		if w.rng.IntN(16) > 0 {
			continue
		}
		st, ok := m.Status(id)
		if ok && st.Score != w.scoreOf(id) {
			w.fatal("score of %s is %d, want %d", id, st.Score, w.score[id])
		}
	}
}

func (w *model) checkPeers() {
	m := w.m
	victims, claimers := map[transport.NodeID]bool{}, 0
	for victim, by := range m.claims {
		if victims[victim] || victim == by || w.exempt(victim) {
			w.fatal("claims %v", m.claims)
		}
		victims[victim] = true
		p := m.peers[by]
		if p == nil {
			w.fatal("%s claims %s and is not there", by, victim)
		}
		if p.dial != nil && p.dial.slot == slotUpgrade || p.current != nil && p.current.slot == slotUpgrade || p.standby != nil && p.standby.slot == slotUpgrade {
			claimers++
		}
	}
	if claimers != len(m.claims) || len(m.claims) > w.cfg.MaxUpgrades {
		w.fatal("claims %v", m.claims)
	}
	for _, id := range w.ids {
		if w.rng.IntN(8) > 0 { // each is looked at often enough
			continue
		}
		rec, known := m.store.Get(id)
		p := m.peers[id]
		busy := p != nil
		if p != nil && (p.idle() || p.busy != true || (p.dial != nil) != (w.dials[id] != nil)) {
			w.fatal("state of %s: %+v", id, *p)
		}
		if known && rec.Busy != busy {
			w.fatal("%s is busy: %v, the store says %v", id, busy, rec.Busy)
		}
		if w.trusted(id) && (!known || !rec.Trusted || len(rec.Addresses) == 0) {
			w.fatal("the trusted %s is lost: %+v", id, rec)
		}
		if !known && busy && len(w.dials) == 0 {
			w.fatal("%s is linked and not known", id)
		}
		if rec.Score < peerstore.MinScore || rec.Score > peerstore.MaxScore {
			w.fatal("score %d", rec.Score)
		}
	}
	for id := range m.peers {
		if !slices.Contains(w.ids, id) {
			w.fatal("a state of %s", id)
		}
	}
	want := slices.Sorted(maps.Keys(w.up))
	if got := m.Peers(); !slices.Equal(got, want) {
		w.fatal("peers %v, want %v", got, want)
	}
}

// checkViews lets the fast subscriber read everything and the slow one sometimes a little.
func (w *model) checkViews() {
	read := func(s *Subscription, view map[transport.NodeID]bool) bool {
		u, ok, err := s.take()
		if err != nil {
			w.fatal("%v", err)
		}
		if !ok {
			return false
		}
		switch {
		case u.Status == PeerUp && view[u.ID], u.Status == PeerDown && !view[u.ID], u.Status == PeerDown && u.Reason == nil:
			w.fatal("update %+v, and it was %v", u, view[u.ID])
		case u.Status == PeerUp:
			view[u.ID] = true
		default:
			delete(view, u.ID)
		}
		return true
	}
	for read(w.fast, w.fastView) {
	}
	if !maps.Equal(w.fastView, w.up) {
		w.fatal("the fast subscriber sees %v, want %v", w.fastView, w.up)
	}
	if w.rng.IntN(10) == 0 {
		read(w.slow, w.slowView)
	}
	if len(w.slow.pending) != len(w.slow.order) || len(w.slow.pending) > len(w.ids) {
		w.fatal("%d pending, %d in order", len(w.slow.pending), len(w.slow.order))
	}
	for id := range w.up {
		if !w.slowView[id] && w.slow.pending[id] == nil {
			w.fatal("the slow subscriber will not hear of %s", id)
		}
	}
	for id := range w.slowView {
		if !w.up[id] && w.slow.pending[id] == nil {
			w.fatal("the slow subscriber will not hear of the end of %s", id)
		}
	}
	if w.rng.IntN(500) == 0 {
		for read(w.slow, w.slowView) {
		}
		if !maps.Equal(w.slowView, w.up) {
			w.fatal("the slow subscriber sees %v, want %v", w.slowView, w.up)
		}
	}
}
