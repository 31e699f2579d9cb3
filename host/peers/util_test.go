package peers

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	memstore "github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
)

// pmSelf is the node id of the manager under test: half of the peers' ids are lower.
const pmSelf = transport.NodeID("8000000000000000000000000000000000000000")

// lowID and highID are peers whose ids are below and above our own.
func lowID(n int) transport.NodeID  { return transport.NodeID(fmt.Sprintf("10%038x", n)) }
func highID(n int) transport.NodeID { return transport.NodeID(fmt.Sprintf("f0%038x", n)) }

func mustAddress(t testing.TB, s string) transport.Address {
	t.Helper()
	a, err := transport.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// addrOf is the n-th address of a peer, each in its own network group.
func addrOf(t testing.TB, id transport.NodeID, n int) transport.Address {
	t.Helper()
	h := uint32(n) * 7919
	for _, c := range string(id) {
		h = h*31 + uint32(c)
	}
	return mustAddress(t, fmt.Sprintf("/ip4/%d.%d.%d.1/tcp/26656/mconn/%s", 1+h%120, h>>8&0xff, h>>16&0xff, id))
}

var (
	sourcePEX = peerstore.Source{Kind: "pex"}
	loopback  = netip.MustParseAddr("127.0.0.1")
)

// pm is a manager under test with a store in memory and the names of its links.
type pm struct {
	*Manager
	t     testing.TB
	store peerstore.Store
	last  uint64
}

func newPM(t testing.TB, cfg Config) *pm {
	t.Helper()
	if cfg.Seed == 0 {
		cfg.Seed = 1
	}
	if cfg.Feelers == 0 { // tests ask for them
		cfg.Feelers = -1
	}
	if cfg.Churn == 0 {
		cfg.Churn = -1
	}
	book := memstore.NewSeeded(peerstore.Limits{}, 1)
	m, err := New(pmSelf, cfg, book)
	if err != nil {
		t.Fatal(err)
	}
	return &pm{Manager: m, t: t, store: book}
}

// learn adds a peer with one address.
func (m *pm) learn(ids ...transport.NodeID) {
	m.t.Helper()
	for _, id := range ids {
		if err := m.Add(addrOf(m.t, id, 0), peerstore.Source{Kind: "pex"}); err != nil {
			m.t.Fatalf("address of %s: %v", id, err)
		}
	}
}

func (m *pm) mustDial(want transport.NodeID) Dial {
	m.t.Helper()
	d, ok := m.TryDialNext()
	if !ok || want != "" && d.ID != want {
		m.t.Fatalf("next dial is %v %v, want one of %q", d, ok, want)
	}
	return d
}

func (m *pm) noDial() {
	m.t.Helper()
	if d, ok := m.TryDialNext(); ok {
		m.t.Fatalf("unexpected dial %+v", d)
	}
}

func (m *pm) noEviction() {
	m.t.Helper()
	if e, ok := m.TryEvictNext(); ok {
		m.t.Fatalf("unexpected eviction %+v", e)
	}
}

func (m *pm) mustEvict(id transport.NodeID, link uint64, code muxer.Code) {
	m.t.Helper()
	e, ok := m.TryEvictNext()
	if !ok || e.ID != id || e.LinkID != link || e.Reason == nil || e.Reason.Code != code {
		m.t.Fatalf("eviction %+v %v, want link %d of %s with %s", e, ok, link, id, code)
	}
}

func (m *pm) arrival(id transport.NodeID) Arrival {
	m.last++
	return Arrival{ID: id, LinkID: m.last}
}

// dialed answers a dial with a link on a wire without confirmation.
func (m *pm) dialed(id transport.NodeID) (uint64, error) {
	a := m.arrival(id)
	a.Dialed = addrOf(m.t, id, 0)
	a.IP, _ = a.Dialed.IP()
	return a.LinkID, m.Arrived(dialed(a))
}

// dialed and accepted are the arrival of a link of that side.
func dialed(a Arrival) Arrival   { a.Side = muxer.Dialer; return a }
func accepted(a Arrival) Arrival { a.Side = muxer.Listener; return a }

func (m *pm) accepted(id transport.NodeID) (uint64, error) {
	a := m.arrival(id)
	a.IP, _ = addrOf(m.t, id, 0).IP()
	return a.LinkID, m.Arrived(accepted(a))
}

// up makes an inbound link that counts as up.
func (m *pm) up(id transport.NodeID) uint64 {
	m.t.Helper()
	l, err := m.accepted(id)
	m.settle(id, l, err)
	return l
}

// dialUp dials the next peer and brings its link up.
func (m *pm) dialUp(want transport.NodeID) (transport.NodeID, uint64) {
	m.t.Helper()
	d := m.mustDial(want)
	l, err := m.dialed(d.ID)
	m.settle(d.ID, l, err)
	return d.ID, l
}

func (m *pm) settle(id transport.NodeID, l uint64, err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatalf("link %d of %s: %v", l, id, err)
	}
	if preferred, dup := m.Established(id, l); !preferred || dup != nil {
		m.t.Fatalf("link %d of %s: preferred %v, closes %+v", l, id, preferred, dup)
	}
	if !m.Ready(id, l, l, []byte{0}) {
		m.t.Fatalf("link %d of %s is not the current one", l, id)
	}
}

// preferred returns the links of a peer in order of preference, the closing ones apart.
func (m *pm) preferred(id transport.NodeID) (out []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.peers[id]; p != nil {
		for _, l := range p.open() {
			out = append(out, l.id)
		}
	}
	return out
}

// establish returns the link that is to be closed as a duplicate.
func (m *pm) establish(id transport.NodeID, l uint64) uint64 {
	_, dup := m.Established(id, l)
	if dup == nil {
		return 0
	}
	return dup.LinkID
}

func (m *pm) down(id transport.NodeID, l uint64, code muxer.Code) uint64 {
	heir, _ := m.Disconnected(id, l, &DisconnectError{Code: code})
	return heir
}

func (m *pm) fail(id transport.NodeID, err error) {
	m.DialFailed(id, []DialFailure{{Address: addrOf(m.t, id, 0), Err: err}})
}

// proving returns err as that of a handshake in which the remote had proven to be id.
func proving(id transport.NodeID, err error) error {
	if r, ok := errors.AsType[*handshake.Refusal](err); ok {
		r := *r
		r.Proven = id
		return &r
	}
	code, _ := codeOf(err)
	stage := handshake.StageInfo
	if s, ok := errors.AsType[*handshake.StageError](err); ok {
		stage = s.Stage
	}
	return &handshake.StageError{Stage: stage, Code: code, Err: err, Proven: id}
}

// otherNetwork is the end of a dial that found the peer on another network.
func otherNetwork(id transport.NodeID) error {
	return &handshake.Refusal{Code: muxer.CodeWrongNetwork, Stage: handshake.StageInfo, Remote: true, Proven: id}
}

func (m *pm) record(id transport.NodeID) peerstore.Record {
	m.t.Helper()
	rec, ok := m.store.Get(id)
	if !ok {
		m.t.Fatalf("%s is not known", id)
	}
	return rec
}

func (m *pm) setScore(id transport.NodeID, score int) {
	m.t.Helper()
	m.record(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.store.Update(id, func(rec *peerstore.Record) { addScore(rec, score-Score(rec, now), now) })
	if score >= upgradeMargin && m.dialer.promises.add(id, now) {
		m.dialWake.wake()
	}
}

// churns reports whether a peer is dialed to take another one's place by chance.
func (m *pm) churns(id transport.NodeID) bool {
	p := m.peers[id]
	return p != nil && p.dial != nil && p.dial.churn
}

// refused checks the code and the limit of a refusal.
func refused(t testing.TB, err error, code muxer.Code, limit string) {
	t.Helper()
	var d *DisconnectError
	if !errors.As(err, &d) || d.Code != code || d.Limit != limit || d.Remote {
		t.Fatalf("error %v, want %s (%s)", err, code, limit)
	}
}

// inBubble runs a test under a virtual clock.
func inBubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, fn)
}

func ipPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// Scores returns the scores of the peers that are linked or being dialed. Those of others are in Status.
func (m *Manager) Scores() map[transport.NodeID]int {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[transport.NodeID]int, len(m.peers))
	for id := range m.peers {
		if rec, ok := m.store.Get(id); ok {
			out[id] = Score(&rec, now)
		}
	}
	return out
}
