package storetest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The operations of the model test. Each does the same to the store and to the model, and compares what comes of it.

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
	q := peerstore.Query{Skip: skip, Table: peerstore.Table(m.m.IntN(3))}
	avoid := -1
	if m.m.IntN(2) == 0 {
		avoid = m.m.IntN(4)
		group := m.s.Groups().Of(parse(fmt.Sprintf("11.%d.0.1:1", avoid)))
		q.Avoid = func(g peerstore.Group) bool { return g == group }
	}
	m.op += fmt.Sprintf(" (table %d, avoiding %d)", q.Table, avoid)
	got, ok := m.s.Next(m.now, q)
	m.forgetExpired()
	fits := func(r *peerstore.Record) bool {
		now, _, _ := m.due(r)
		return now && (skip == nil || !skip(r.ID)) && (q.Table == peerstore.Any || !r.Trusted && r.Tried() == (q.Table == peerstore.Tried))
	}
	avoided := func(r *peerstore.Record) bool {
		ip, _ := r.Addresses[0].Address.IP()
		return !r.Trusted && int(ip.As4()[1]) == avoid
	}
	var best *peerstore.Record // trusted rather than not, not avoided rather than avoided
	for _, r := range m.peers {
		if fits(&r) && !m.expired(&r) && (best == nil || r.Trusted && !best.Trusted || r.Trusted == best.Trusted && avoided(best) && !avoided(&r)) {
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
		if !fits(&r) || r.Trusted != best.Trusted || avoided(&r) && !avoided(best) {
			m.fatalf("%+v, but %+v is due", r, *best)
		}
	}
}

func (m *model) feeler() {
	m.op = "Feeler"
	got, ok := m.s.Feeler(m.now, peerstore.Query{})
	m.forgetExpired()
	for _, r := range m.peers {
		if now, _, _ := m.due(&r); now && !m.expired(&r) && !r.Trusted && !r.Tried() && !ok {
			m.fatalf("nobody, but %s is due", r.ID.Short())
		}
	}
	if ok {
		r := m.peers[got.ID]
		if now, _, _ := m.due(&r); !now || r.Trusted || r.Tried() {
			m.fatalf("%+v", r)
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
	if _, ok := m.s.Next(m.now, peerstore.Query{}); ok && m.netBan {
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
		for _, o := range r.Addresses { // the one that worked last
			if o.Failures < 5 && !m.bannedAddr(o.Address) && o.LastSuccess.After(r.Addresses[i].LastSuccess) {
				m.fatalf("told of %s rather than %s", a, o.Address)
			}
		}
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
	b := peerstore.Ban{Target: m.target(), Since: m.now, Until: m.now.Add(time.Duration(m.m.IntN(1000)+1) * time.Second), Reason: strconv.Itoa(m.m.Int())}
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
