package storetest

import (
	"fmt"
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
	total := ops
	const run = 20_000 // operations on one store
	for seed := uint64(1); ops > 0; seed++ {
		m := newModel(t, f.New(t, modelLimits), seed, start())
		for n := range min(ops, run) {
			m.step()
			if total <= 100_000 || n%8 == 0 { // what a step did it compares itself; a long test looks at all the rest less often
				m.check()
			} else {
				m.forgetExpired()
			}
			if n%10 == 0 {
				m.banned()
			}
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
	n := m.m.IntN(modelPeers)
	return parse(fmt.Sprintf("%s@11.%d.0.%d:%d", ID(n), n%4, n, 1+m.m.IntN(modelPorts))) // in four network groups
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
	case k < 73:
		m.next()
	case k < 75:
		m.feeler()
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

// worth is what pruning follows, as far as it does not change with time alone: peers that never worked go before the others, of these those of the lowest
// score with the most failures.
func worth(r *peerstore.Record) (tried bool, level int) {
	level = int(r.Score)/25 - int(min(r.Failures, 8))
	if !r.Tried() {
		return false, max(level, -10) // of new ones, there is a lowest level
	}
	return true, level
}

// worse says that a should have gone before b.
func worse(a, b *peerstore.Record) bool {
	at, al := worth(a)
	bt, bl := worth(b)
	if at != bt {
		return bt
	}
	const recency = 2 // levels, which change with time
	if at {
		return al+recency < bl
	}
	return al < bl
}

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
			if !m.kept(&o) && worse(&o, &r) {
				m.fatalf("%+v was dropped, but %+v is worse", r, o)
			}
		}
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
		if got.InTried != want.Tried() {
			m.fatalf("%s in the tried table: %v", id.Short(), got.InTried)
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
