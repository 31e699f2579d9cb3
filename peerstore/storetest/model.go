package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// OpsEnv names the environment variable that sets how many operations the model tests run.
const OpsEnv = "SWITCHYARD_MODEL_OPS"

func operations(t testing.TB, f Factory) int {
	text := os.Getenv(OpsEnv)
	switch {
	case text != "":
	case f.Ops > 0:
		return f.Ops
	default:
		return 20_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number of operations", OpsEnv, text)
	}
	return n
}

type mix struct{ *rand.Rand }

func newMix(seed uint64) mix { return mix{rand.New(rand.NewPCG(seed, seed))} }

// The model's world is small, so that everything meets everything.
const (
	modelPeers   = 40
	modelPorts   = 5
	modelMaxPeer = 25
	modelMaxAddr = 3
	modelExpiry  = 24 * time.Hour
)

// model is the contract in its plainest form: maps, and scans of them.
type model struct {
	t     testing.TB
	s     peerstore.Store
	m     mix
	now   time.Time
	op    string
	peers map[transport.NodeID]peerstore.Record
	bans  map[peerstore.Target]peerstore.Ban
	meta  map[string]string
	// hidden are peers that were quarantined or banned at some time: the store may tell of them later than it could.
	hidden map[transport.NodeID]bool
	netBan bool // a network was ever banned: NextDue may then be early
}

func newModel(t testing.TB, s peerstore.Store, seed uint64, now time.Time) *model {
	return &model{
		t: t, s: s, m: newMix(seed), now: now,
		peers:  make(map[transport.NodeID]peerstore.Record),
		bans:   make(map[peerstore.Target]peerstore.Ban),
		meta:   make(map[string]string),
		hidden: make(map[transport.NodeID]bool),
	}
}

var modelLimits = peerstore.Limits{MaxPeers: modelMaxPeer, MaxAddresses: modelMaxAddr, Expiry: modelExpiry, MaxBans: 1000}

// testModel does random operations to the store and to the model, and compares them after each.
func testModel(t *testing.T, f Factory) {
	ops := operations(t, f)
	const run = 20_000 // operations on one store
	for seed := uint64(1); ops > 0; seed++ {
		m := newModel(t, f.New(t, modelLimits), seed, start())
		for n := range min(ops, run) {
			m.step()
			m.check()
			if n%50 == 0 {
				m.checkBans()
			}
		}
		ops -= run
	}
}

func (m *model) fatalf(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("after %s: %s", m.op, fmt.Sprintf(format, args...))
}

func (m *model) id() transport.NodeID { return ID(m.m.IntN(modelPeers)) }

func (m *model) address() transport.Address {
	return Address(m.m.IntN(modelPeers), 1+m.m.IntN(modelPorts))
}

// soon is a time that is over, or not yet, or none.
func (m *model) soon() time.Time {
	switch m.m.IntN(4) {
	case 0:
		return time.Time{}
	case 1:
		return m.now.Add(-time.Duration(m.m.IntN(100)) * time.Second)
	}
	return m.now.Add(time.Duration(m.m.IntN(100)) * time.Second)
}

func (m *model) step() {
	switch k := m.m.IntN(100); {
	case k < 3:
		m.now = m.now.Add(time.Duration(m.m.IntN(6)) * time.Hour)
	default:
		m.now = m.now.Add(time.Duration(m.m.IntN(20)) * time.Second)
	}
	switch k := m.m.IntN(100); {
	case k < 30:
		m.add()
	case k < 50:
		m.update()
	case k < 56:
		m.ensure()
	case k < 60:
		m.remove()
	case k < 75:
		m.next()
	case k < 80:
		m.nextDue()
	case k < 86:
		m.advertise()
	case k < 91:
		m.ban()
	case k < 95:
		m.unban()
	case k < 97:
		m.banned()
	default:
		key := "key" + strconv.Itoa(m.m.IntN(4))
		m.op = "SetMeta " + key
		if m.m.IntN(3) == 0 {
			m.s.SetMeta(key, nil)
			delete(m.meta, key)
		} else {
			value := strconv.Itoa(m.m.Int())
			m.s.SetMeta(key, []byte(value))
			m.meta[key] = value
		}
	}
}

func (m *model) banEnd(id transport.NodeID, ip netip.Addr) (end time.Time, forever, banned bool) {
	for t, b := range m.bans {
		if t.ID != "" && t.ID != id || t.ID == "" && !t.Prefix.Contains(ip) || !b.Until.IsZero() && !b.Until.After(m.now) {
			continue
		}
		banned = true
		forever = forever || b.Until.IsZero()
		if b.Until.After(end) {
			end = b.Until
		}
	}
	return end, forever, banned
}

func (m *model) bannedID(id transport.NodeID) bool {
	_, _, banned := m.banEnd(id, netip.Addr{})
	return banned
}

func (m *model) bannedAddr(a transport.Address) bool {
	ip, _ := a.IP()
	_, _, banned := m.banEnd("", ip)
	return banned
}

func (m *model) kept(r *peerstore.Record) bool { return r.Trusted || r.Unconditional || r.Busy }

// expired peers may be there or not: they go when the store comes across them.
func (m *model) expired(r *peerstore.Record) bool {
	if m.kept(r) {
		return false
	}
	seen := []time.Time{r.FirstSeen, r.LastConnected, r.LastDisconnected}
	for _, a := range r.Addresses {
		seen = append(seen, a.LastHeard, a.LastSuccess)
	}
	last := slices.MaxFunc(seen, time.Time.Compare)
	return !last.After(m.now.Add(-modelExpiry))
}

// rank is what the order of two peers follows, the greatest first; chance decides between equals.
func rank(r *peerstore.Record) [3]int64 {
	var k [3]int64
	if r.Trusted {
		k[0] = 1
	}
	k[1] = int64(r.Score) - 5*int64(min(r.Failures, 50))
	for _, a := range r.Addresses {
		if !a.LastSuccess.IsZero() {
			k[2] = max(k[2], a.LastSuccess.UnixNano()/int64(time.Minute))
		}
	}
	if k[2] != 0 {
		k[1] += 10
	}
	return k
}

func less(a, b [3]int64) bool { return slices.Compare(a[:], b[:]) < 0 }

// due tells whether a peer may be dialed now; and when it may, if that is ahead.
func (m *model) due(r *peerstore.Record) (now bool, at time.Time, ever bool) {
	if r.Busy || len(r.Addresses) == 0 {
		return false, at, false
	}
	for _, a := range r.Addresses {
		ip, _ := a.Address.IP()
		end, forever, _ := m.banEnd("", ip)
		if forever {
			continue
		}
		first := a.NotBefore
		if end.After(first) {
			first = end
		}
		if !ever || first.Before(at) {
			at = first
		}
		ever = true
	}
	end, forever, _ := m.banEnd(r.ID, netip.Addr{})
	if forever || !ever {
		return false, at, false
	}
	for _, other := range []time.Time{end, r.NotBefore, r.Quarantined} {
		if other.After(at) {
			at = other
		}
	}
	return !at.After(m.now), at, true
}

// forget takes out of the model the expired peers that the store has let go, and says which known peers the store has dropped otherwise.
func (m *model) forget() (dropped []transport.NodeID) {
	for id, r := range m.peers {
		if _, ok := m.s.Get(id); ok {
			continue
		}
		if !m.expired(&r) {
			dropped = append(dropped, id)
		}
		delete(m.peers, id)
	}
	return dropped
}

// pruned checks that what the store dropped had to go, and was the worst.
func (m *model) pruned(before map[transport.NodeID]peerstore.Record, dropped []transport.NodeID) {
	if len(dropped) == 0 {
		return
	}
	if len(dropped) > 1 && len(m.peers) < modelMaxPeer || len(m.peers)+len(dropped) <= modelMaxPeer {
		m.fatalf("%d peers were dropped without need, %d are left", len(dropped), len(m.peers))
	}
	for _, id := range dropped {
		r := before[id]
		if m.kept(&r) {
			m.fatalf("%s was dropped, and must be kept", id.Short())
		}
		for _, o := range m.peers {
			if !m.kept(&o) && less(rank(&o), rank(&r)) {
				m.fatalf("%s %v was dropped, but %s %v is worse", id.Short(), rank(&r), o.ID.Short(), rank(&o))
			}
		}
	}
}

func useful(a *peerstore.AddressRecord) [4]int64 {
	var k [4]int64
	switch {
	case a.Failures >= 5:
	case a.LastSuccess.IsZero():
		k[0] = 1
	default:
		k[0] = 2
	}
	if !a.LastSuccess.IsZero() {
		k[1] = a.LastSuccess.UnixNano()
	}
	k[2], k[3] = -int64(a.Failures), a.LastHeard.UnixNano()
	return k
}

func (m *model) add() {
	a := m.address()
	source := peerstore.Source{Kind: "pex", From: m.id()}
	if m.m.IntN(10) == 0 {
		source.Kind = peerstore.SourceConfig
	}
	m.op = fmt.Sprintf("Add %s (%s)", a, source.Kind)
	// What has expired may go in the same call, before the address is learned.
	r, known := m.peers[a.ID()]
	if known && m.expired(&r) {
		m.s.Remove(a.ID())
		delete(m.peers, a.ID())
		r, known = peerstore.Record{}, false
	}
	got := m.s.Add(a, source, m.now)
	want := false
	at := slices.IndexFunc(r.Addresses, func(k peerstore.AddressRecord) bool { return k.Address == a })
	free := source.Kind == peerstore.SourceConfig || known && r.Trusted
	fresh := peerstore.AddressRecord{Address: a, Source: source, FirstHeard: m.now, LastHeard: m.now}
	switch {
	case at >= 0:
		if m.now.Sub(r.Addresses[at].LastHeard) >= 10*time.Minute {
			r.Addresses[at].LastHeard = m.now
		}
	case !free && (m.bannedID(a.ID()) || m.bannedAddr(a) || r.Quarantined.After(m.now)):
	case !known:
		r = peerstore.Record{ID: a.ID(), FirstSeen: m.now, Addresses: []peerstore.AddressRecord{fresh}}
		want = true
	case len(r.Addresses) < modelMaxAddr:
		r.Addresses = append(r.Addresses, fresh)
		want = true
	default:
		w := 0
		for i := range r.Addresses {
			if a, b := useful(&r.Addresses[i]), useful(&r.Addresses[w]); slices.Compare(a[:], b[:]) < 0 {
				w = i
			}
		}
		if a, b := useful(&fresh), useful(&r.Addresses[w]); slices.Compare(a[:], b[:]) > 0 {
			r.Addresses[w] = fresh
			want = true
		}
	}
	if known || want {
		m.peers[a.ID()] = r
	}
	before := maps.Clone(m.peers)
	dropped := m.forget()
	m.pruned(before, dropped)
	if slices.Contains(dropped, a.ID()) {
		want = false
	}
	if got != want {
		m.fatalf("it said %v, want %v", got, want)
	}
}

// change is a random change of a record.
func (m *model) change(r *peerstore.Record) {
	switch m.m.IntN(12) {
	case 0:
		r.Trusted = !r.Trusted
	case 1:
		r.Unconditional = m.m.IntN(4) == 0
	case 2:
		r.Private = m.m.IntN(4) == 0
	case 3:
		r.Score = int16(m.m.IntN(300) - 150)
	case 4:
		r.Busy = m.m.IntN(2) == 0
	case 5:
		r.NotBefore = m.soon()
		r.Failures++
	case 6:
		r.Quarantined = m.soon()
		r.QuarantineReason = "wrong network"
	case 7:
		r.LastConnected, r.Failures = m.now, 0
	case 8:
		r.Height, r.Scored = m.m.Uint64(), m.soon()
	case 9:
		r.LastDisconnected = m.now
	default:
		if len(r.Addresses) == 0 {
			return
		}
		i := m.m.IntN(len(r.Addresses))
		a := &r.Addresses[i]
		switch m.m.IntN(5) {
		case 0:
			a.LastSuccess, a.Failures = m.now, 0
		case 1:
			a.Failures += uint32(m.m.IntN(3))
			a.LastDialed, a.LastError = m.now, "refused"
		case 2, 3:
			a.NotBefore = m.soon()
		case 4:
			r.Addresses = slices.Delete(r.Addresses, i, i+1)
		}
	}
}

// changed takes over what an update made of a record.
func (m *model) changed(r peerstore.Record) {
	r.Score = min(max(r.Score, peerstore.MinScore), peerstore.MaxScore)
	r.Addresses = slices.Clone(r.Addresses)
	m.peers[r.ID] = r
	if r.Quarantined.After(m.now) {
		m.hidden[r.ID] = true
	}
	before := maps.Clone(m.peers)
	m.pruned(before, m.forget())
}

func (m *model) update() {
	id := m.id()
	m.op = "Update " + id.Short()
	_, known := m.peers[id]
	var after peerstore.Record
	if got := m.s.Update(id, func(r *peerstore.Record) {
		m.change(r)
		after = *r
		after.Addresses = slices.Clone(r.Addresses)
	}); got != known {
		m.fatalf("it said %v", got)
	}
	if known {
		m.changed(after)
	}
}

func (m *model) ensure() {
	id := m.id()
	m.op = "Ensure " + id.Short()
	r, known := m.peers[id]
	if known && m.expired(&r) { // it may go first
		m.s.Remove(id)
		delete(m.peers, id)
		known = false
	}
	var after peerstore.Record
	m.s.Ensure(id, m.now, func(r *peerstore.Record) {
		if known != !r.FirstSeen.Equal(m.now) && !known {
			m.fatalf("a new record, first seen %v", r.FirstSeen)
		}
		m.change(r)
		after = *r
		after.Addresses = slices.Clone(r.Addresses)
	})
	m.changed(after)
}

func (m *model) remove() {
	id := m.id()
	m.op = "Remove " + id.Short()
	_, known := m.peers[id]
	if got := m.s.Remove(id); got != known {
		m.fatalf("it said %v", got)
	}
	delete(m.peers, id)
}

func (m *model) next() {
	m.op = "Next"
	var skip func(transport.NodeID) bool
	if m.m.IntN(2) == 0 {
		rest := transport.NodeID(strconv.Itoa(m.m.IntN(10)))
		skip = func(id transport.NodeID) bool { return id[len(id)-1:] == rest }
		m.op += " but *" + string(rest)
	}
	got, ok := m.s.Next(m.now, skip)
	m.forgetExpired()
	var best *peerstore.Record
	for id, r := range m.peers {
		if now, _, _ := m.due(&r); now && !m.expired(&r) && (skip == nil || !skip(id)) && (best == nil || less(rank(best), rank(&r))) {
			best = &r
		}
	}
	switch {
	case !ok && best != nil:
		m.fatalf("nobody, but %s is due", best.ID.Short())
	case !ok:
	case best == nil:
		m.fatalf("%s, but nobody is due", got.ID.Short())
	default:
		r := m.peers[got.ID]
		if now, at, _ := m.due(&r); !now || skip != nil && skip(got.ID) {
			m.fatalf("%s, which is due at %v", got.ID.Short(), at.Sub(m.now))
		}
		if rank(&r) != rank(best) {
			m.fatalf("%s %v, but %s %v is better", got.ID.Short(), rank(&r), best.ID.Short(), rank(best))
		}
	}
}

// forgetExpired takes peers out of the model that the store has let go, which must have expired.
func (m *model) forgetExpired() {
	if dropped := m.forget(); len(dropped) > 0 {
		m.fatalf("%v were dropped", dropped)
	}
}

func (m *model) nextDue() {
	m.op = "NextDue"
	// A ban of a network finds its peers when they come up in Next, so NextDue may be early, and right only when nobody is due.
	if _, ok := m.s.Next(m.now, nil); ok && m.netBan {
		return
	}
	m.forgetExpired()
	got, ok := m.s.NextDue(m.now)
	var want time.Time
	found := false
	for _, r := range m.peers {
		if now, at, ever := m.due(&r); ever && !now && (!found || at.Before(want)) {
			want, found = at, true
		}
	}
	early := m.netBan && ok && (!found || got.Before(want)) && got.After(m.now)
	if ok != found && !early || ok && !got.Equal(want) && !early {
		m.fatalf("%v %v, want %v %v (now %v)", got, ok, want, found, m.now)
	}
}

func (m *model) advertise() {
	limit := m.m.IntN(modelPeers + 5)
	m.op = fmt.Sprintf("Advertise %d", limit)
	got := m.s.Advertise(limit, m.now, nil)
	m.forgetExpired()
	must := 0
	for id, r := range m.peers {
		if m.shareable(&r) && !m.hidden[id] {
			must++
		}
	}
	seen := make(map[transport.NodeID]bool)
	proved := true
	for _, a := range got {
		r, ok := m.peers[a.ID()]
		if !ok || seen[a.ID()] || !m.shareable(&r) || m.bannedAddr(a) {
			m.fatalf("told of %s (known %v, twice %v)", a, ok, seen[a.ID()])
		}
		seen[a.ID()] = true
		i := slices.IndexFunc(r.Addresses, func(k peerstore.AddressRecord) bool { return k.Address == a })
		if i < 0 {
			m.fatalf("told of %s, which is not known", a)
		}
		works := !r.Addresses[i].LastSuccess.IsZero()
		if works && !proved {
			m.fatalf("one that works behind one that may")
		}
		proved = works
	}
	if len(got) > limit || len(got) < min(limit, must) {
		m.fatalf("told of %d, and %d may be told of", len(got), must)
	}
}

func (m *model) shareable(r *peerstore.Record) bool {
	if r.Private || r.Quarantined.After(m.now) || m.bannedID(r.ID) {
		return false
	}
	return slices.ContainsFunc(r.Addresses, func(a peerstore.AddressRecord) bool { return a.Failures < 5 && !m.bannedAddr(a.Address) })
}

func (m *model) target() peerstore.Target {
	if m.m.IntN(2) == 0 {
		return peerstore.Target{ID: m.id()}
	}
	ip, _ := m.address().IP()
	p, _ := ip.Prefix(28 + m.m.IntN(5))
	return peerstore.Target{Prefix: p}
}

func (m *model) ban() {
	b := peerstore.Ban{Target: m.target(), Since: m.now, Until: m.now.Add(time.Duration(m.m.IntN(300)+1) * time.Second), Reason: strconv.Itoa(m.m.Int())}
	if m.m.IntN(5) == 0 {
		b.Until = time.Time{}
	}
	m.op = "Ban " + b.Target.String()
	if err := m.s.Ban(b); err != nil {
		m.fatalf("%v", err)
	}
	m.bans[b.Target] = b
	if b.Target.ID != "" {
		m.hidden[b.Target.ID] = true
		return
	}
	m.netBan = true
	for n := range modelPeers {
		m.hidden[ID(n)] = true
	}
}

func (m *model) unban() {
	t := m.target()
	if m.m.IntN(2) == 0 {
		for t = range m.bans {
			break
		}
	}
	if t == (peerstore.Target{}) {
		return
	}
	m.op = "Unban " + t.String()
	b, known := m.bans[t]
	was, err := m.s.Unban(t)
	if err != nil || was && !known || !was && known && (b.Until.IsZero() || b.Until.After(m.now)) {
		m.fatalf("it said %v %v, want %v", was, err, known)
	}
	delete(m.bans, t)
}

func (m *model) banned() {
	a := m.address()
	ip, _ := a.IP()
	m.op = "Banned " + a.String()
	b, got := m.s.Banned(a.ID(), ip, m.now)
	end, forever, want := m.banEnd(a.ID(), ip)
	if got != want || got && (b.Until.IsZero() != forever || !forever && !b.Until.Equal(end) || m.bans[b.Target].Reason != b.Reason) {
		m.fatalf("%v %+v, want %v", got, b, want)
	}
}

// check compares the store with the model.
func (m *model) check() {
	m.t.Helper()
	m.forgetExpired()
	tried := 0
	for id, want := range m.peers {
		got, _ := m.s.Get(id)
		if !Equal(got, want) {
			m.fatalf("%s is\n%+v, want\n%+v", id.Short(), got, want)
		}
		if want.Tried() {
			tried++
		}
	}
	st := m.s.Stats()
	if st.Known != len(m.peers) || st.Tried != tried || st.New != st.Known-tried {
		m.fatalf("%+v, want %d known, %d tried", st, len(m.peers), tried)
	}
	for key := range 4 {
		k := "key" + strconv.Itoa(key)
		if got := m.s.Meta(k); string(got) != m.meta[k] {
			m.fatalf("%s is %q, want %q", k, got, m.meta[k])
		}
	}
}

// checkBans compares the bans that hold.
func (m *model) checkBans() {
	m.t.Helper()
	held := make(map[peerstore.Target]peerstore.Ban)
	for t, b := range m.bans {
		if b.Until.IsZero() || b.Until.After(m.now) {
			held[t] = b
		}
	}
	got := m.s.Bans(m.now)
	for _, b := range got {
		want, ok := held[b.Target]
		if !ok || !b.Until.Equal(want.Until) || !b.Since.Equal(want.Since) || b.Reason != want.Reason {
			m.fatalf("ban %+v, want %+v", b, want)
		}
	}
	if len(got) != len(held) {
		m.fatalf("%d bans, want %d", len(got), len(held))
	}
}

// Equal says whether two records are the same, with times compared as times.
func Equal(a, b peerstore.Record) bool {
	same := a.ID == b.ID && a.Trusted == b.Trusted && a.Unconditional == b.Unconditional && a.Private == b.Private && a.Busy == b.Busy &&
		a.Score == b.Score && a.Height == b.Height && a.Failures == b.Failures && a.QuarantineReason == b.QuarantineReason &&
		a.FirstSeen.Equal(b.FirstSeen) && a.Scored.Equal(b.Scored) && a.LastConnected.Equal(b.LastConnected) &&
		a.LastDisconnected.Equal(b.LastDisconnected) && a.NotBefore.Equal(b.NotBefore) && a.Quarantined.Equal(b.Quarantined)
	return same && slices.EqualFunc(a.Addresses, b.Addresses, func(a, b peerstore.AddressRecord) bool {
		return a.Address == b.Address && a.Source == b.Source && a.Failures == b.Failures && a.LastError == b.LastError &&
			a.FirstHeard.Equal(b.FirstHeard) && a.LastHeard.Equal(b.LastHeard) && a.LastDialed.Equal(b.LastDialed) &&
			a.LastSuccess.Equal(b.LastSuccess) && a.NotBefore.Equal(b.NotBefore)
	})
}
