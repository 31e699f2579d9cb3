package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The operations of the model test. Each does the same to the store and to the model, and compares what comes of it.

// do does one operation, some time after the one before.
func (m *model) do() {
	switch k := m.m.IntN(3000); {
	case k == 0 && (!m.w.crowded || m.m.IntN(10) == 0):
		m.now = m.now.Add(m.w.limits.Expiry + time.Duration(m.m.IntN(20))*24*time.Hour) // all that is not seen again expires
		m.did("long pause")
	case k < 60:
		m.now = m.now.Add(time.Duration(m.m.IntN(6)) * time.Hour)
	default:
		m.now = m.now.Add(time.Duration(m.m.IntN(20_000)) * time.Millisecond)
	}
	if m.f.Reopen != nil && m.m.IntN(max(m.f.ReopenEvery, m.w.reopen)) == 0 {
		m.reopen()
		return
	}
	switch k := m.m.IntN(100); {
	case k < 27:
		m.add()
	case k < 42:
		m.update()
	case k < 47:
		m.ensure()
	case k < 50:
		m.remove()
	case k < 58:
		m.next()
	case k < 68:
		m.dial()
	case k < 71:
		m.feel()
	case k < 80:
		m.dialEnds()
	case k < 84:
		m.nextDue()
	case k < 88:
		m.advertise()
	case k < 92:
		m.ban()
	case k < 95:
		m.unban()
	case k < 97:
		m.banned()
	case k < 98:
		m.flush()
	default:
		m.setMeta()
	}
}

func (m *model) add() {
	a := m.address()
	id := a.ID()
	source := m.source()
	m.op = fmt.Sprintf("Add %s (%+v)", a, source)
	if m.w.crowded { // a contest that is judged now may cost a peer its place: were that in the same call, the peer would be learned anew
		m.s.NextDue(m.now)
		m.settle()
	}
	// What has expired may go in the same call, before the address is learned.
	old, known := m.peers[id]
	if known && m.expired(old) {
		m.s.Remove(id)
		m.drop(id)
		old, known = nil, false
	}
	m.brought = m.now
	got := m.s.Add(a, source, m.now)
	var r peerstore.Record
	if known {
		r = *old
		r.Addresses = slices.Clone(r.Addresses)
	} else {
		r = peerstore.Record{ID: id, FirstSeen: m.now}
	}
	want, refusable := false, false
	at := slices.IndexFunc(r.Addresses, func(k peerstore.AddressRecord) bool { return k.Address == a })
	free := source.Kind == peerstore.SourceConfig || known && r.Trusted
	fresh := peerstore.AddressRecord{Address: a, Source: kept(source), FirstHeard: m.now, LastHeard: m.now}
	switch {
	case at >= 0:
		if m.now.Sub(r.Addresses[at].LastHeard) >= 10*time.Minute {
			r.Addresses[at].LastHeard = m.now
			hidden := m.hidden[id]
			if m.set(&r); hidden { // the store leaves it where it was
				m.hidden[id] = true
			}
		}
	case !free && (m.bannedID(id) || m.bannedAddr(a) || r.Quarantined.After(m.now)):
		m.did("refused: banned or quarantined")
	case !free && foreign(a, source.IP):
		m.did("refused: means nothing there")
	case len(r.Addresses) < m.w.limits.MaxAddresses:
		refusable = m.w.crowded && len(r.Addresses) == 0 && m.overfull()
		r.Addresses = append(r.Addresses, fresh)
		want = true
	default:
		if w := least(r.Addresses); moreUseful(&fresh, &r.Addresses[w]) {
			r.Addresses[w] = fresh
			want = true
		} else {
			m.did("refused: enough addresses")
		}
	}
	if refusable && !got {
		m.did("refused: no place")
		return
	}
	if want {
		m.set(&r)
		m.settle()
		if m.peers[id] == nil {
			want = false // it was the one to go
			m.did("refused: worst of all")
		} else {
			m.did("added")
		}
	}
	if got != want {
		m.fatalf("it said %v, want %v", got, want)
	}
	if want {
		m.look(id)
	}
}

// change is a random change of a record.
func (m *model) change(r *peerstore.Record) {
	switch m.m.IntN(16) {
	case 0:
		r.Trusted = m.m.IntN(3) == 0
	case 1:
		r.Unconditional = m.m.IntN(4) == 0
	case 2:
		r.Private = m.m.IntN(4) == 0
	case 3:
		r.Score = int16(m.m.IntN(300) - 150)
	case 4:
		r.Score += int16(m.m.IntN(2000)) // far beyond
	case 5:
		r.Busy = m.m.IntN(2) == 0
	case 6:
		r.NotBefore = m.soon()
		r.Failures++
	case 7:
		r.Quarantined = m.soon()
		r.QuarantineReason = strings.Repeat("wrong network ", m.m.IntN(12))
	case 8:
		r.LastConnected, r.Failures = m.now, 0
	case 9:
		r.Height, r.Scored = m.m.Uint64(), m.soon()
	case 10:
		r.LastDisconnected, r.FirstSeen = m.now, r.FirstSeen.Add(-time.Hour)
	case 11: // addresses of its own, of another node, twice the same, and too many
		for range 1 + m.m.IntN(5) {
			a := m.address()
			if m.m.IntN(3) > 0 {
				for n := range m.w.peers {
					if id, _, _ := nodeOf(n); id == r.ID {
						a = m.w.addressOf(n, m.m.IntN(modelAddresses))
						break
					}
				}
			}
			r.Addresses = append(r.Addresses, peerstore.AddressRecord{Address: a, Source: m.source(), FirstHeard: m.now, LastHeard: m.now, LastSuccess: m.soon()})
		}
	default:
		if len(r.Addresses) == 0 {
			return
		}
		i := m.m.IntN(len(r.Addresses))
		a := &r.Addresses[i]
		switch m.m.IntN(7) {
		case 0:
			a.LastSuccess, a.Failures = m.now, 0
		case 1:
			a.Failures += uint32(m.m.IntN(3))
			a.LastDialed, a.LastError = m.now, strings.Repeat("refused ", m.m.IntN(20))
		case 2, 3:
			a.NotBefore = m.soon()
		case 4:
			r.Addresses = slices.Delete(r.Addresses, i, i+1)
		case 5:
			a.Source, a.LastSuccess = m.source(), time.Time{}
		case 6:
			r.Addresses[0], r.Addresses[i] = r.Addresses[i], r.Addresses[0]
		}
	}
}

// apply updates a peer, if it is known, and looks at what fn is given and what comes of it.
func (m *model) apply(id transport.NodeID, fn func(*peerstore.Record)) {
	old := m.peers[id]
	var after *peerstore.Record
	got := m.s.Update(id, func(r *peerstore.Record) {
		if old != nil && !Equal(*r, *old) {
			m.fatalf("it shows\n%+v, want\n%+v", *r, *old)
		}
		fn(r)
		after = m.bounded(id, *r)
	})
	if got != (old != nil) {
		m.fatalf("it said %v", got)
	}
	if got {
		m.set(after)
		m.settle()
		if m.peers[id] != nil {
			m.look(id)
		}
		m.flagged(old, after)
	}
}

func (m *model) update() {
	id := m.id()
	m.op = "Update " + id.Short()
	if m.m.IntN(8) == 0 {
		m.op = "SetBusy " + id.Short()
		m.setBusy(id, m.m.IntN(3) == 0)
		return
	}
	m.apply(id, m.change)
}

func (m *model) ensure() {
	id := m.id()
	m.op = "Ensure " + id.Short()
	old, known := m.peers[id]
	if known && m.expired(old) { // it may go first
		m.s.Remove(id)
		m.drop(id)
		old, known = nil, false
	}
	if !known {
		old = &peerstore.Record{ID: id, FirstSeen: m.now}
	}
	m.brought = m.now
	var after *peerstore.Record
	m.s.Ensure(id, m.now, func(r *peerstore.Record) {
		if !Equal(*r, *old) {
			m.fatalf("it shows\n%+v, want\n%+v", *r, *old)
		}
		m.change(r)
		after = m.bounded(id, *r)
	})
	m.set(after)
	m.settle()
	if m.peers[id] != nil {
		m.look(id)
	}
	m.flagged(old, after)
}

func (m *model) remove() {
	id := m.id()
	m.op = "Remove " + id.Short()
	_, known := m.peers[id]
	if got := m.s.Remove(id); got != known {
		m.fatalf("it said %v", got)
	}
	m.drop(id)
	m.look(id)
}

// next asks for a peer to dial and checks that it is one of those that come first: trusted before others, one that is not to be avoided before others, one that can
// be reached from anywhere before others.
func (m *model) next() (peerstore.Record, bool) {
	m.op = "Next"
	var q peerstore.Query
	if m.m.IntN(3) == 0 {
		rest := transport.NodeID(strconv.Itoa(m.m.IntN(10)))
		q.Skip = func(id transport.NodeID) bool { return id[len(id)-1:] == rest }
		m.op += " but *" + string(rest)
	}
	if m.m.IntN(3) == 0 {
		q.Table = peerstore.Table(m.m.IntN(3))
	}
	if m.m.IntN(2) == 0 {
		avoid := m.s.Groups().Of(m.address())
		q.Avoid = func(g peerstore.Group) bool { return g == avoid }
		m.op += fmt.Sprintf(", avoiding %v", avoid)
	}
	m.op += fmt.Sprintf(", table %d", q.Table)
	m.brought = m.now
	got, ok := m.s.Next(m.now, q)
	m.settle()
	m.checkNext(&got, ok, &q)
	return got, ok
}

// rank is what a choice of Next is judged by.
type rank struct{ trusted, wanted, routable bool }

func (r rank) before(o rank) bool {
	if r.trusted != o.trusted {
		return r.trusted
	}
	if r.wanted != o.wanted {
		return r.wanted
	}
	return r.routable && !o.routable
}

func (m *model) rankOf(r *peerstore.Record, q *peerstore.Query) rank {
	if r.Trusted {
		return rank{trusted: true}
	}
	return rank{false, q.Avoid == nil || !q.Avoid(m.group(r)), routable(r)}
}

// tabled says which table a peer is in, which in a crowded world only the store can tell.
func (m *model) tabled(r *peerstore.Record) peerstore.Table {
	tried := r.Tried()
	if m.w.crowded {
		now, _ := m.s.Get(r.ID)
		tried = now.InTried
	}
	if tried {
		return peerstore.Tried
	}
	return peerstore.New
}

func (m *model) checkNext(got *peerstore.Record, ok bool, q *peerstore.Query) {
	fits := func(r *peerstore.Record) bool {
		return m.dueNow(r) && (q.Skip == nil || !q.Skip(r.ID)) && (q.Table == peerstore.Any || !r.Trusted && m.tabled(r) == q.Table)
	}
	var mine rank
	if ok {
		r := m.peers[got.ID]
		if r == nil || !fits(r) || m.expired(r) || !Equal(*got, *r) {
			m.fatalf("%+v, which is\n%+v", *got, r)
		}
		mine = m.rankOf(r, q)
		if m.step%m.w.every > 100 {
			return
		}
	}
	for _, r := range m.peers {
		if !fits(r) || m.expired(r) {
			continue
		}
		if !ok {
			m.fatalf("nobody, but %+v is due", *r)
		}
		if m.rankOf(r, q).before(mine) {
			m.fatalf("%+v, but %+v is due", *got, *r)
		}
	}
}

// dial begins to dial a peer.
func (m *model) dial() {
	if r, ok := m.next(); ok {
		m.op += ", dial " + r.ID.Short()
		m.setBusy(r.ID, true)
		m.linked = append(m.linked, r.ID)
		m.did("dialed")
	}
}

// setBusy marks a peer.
func (m *model) setBusy(id transport.NodeID, on bool) {
	old := m.peers[id]
	if got := m.s.SetBusy(id, on); got != (old != nil) {
		m.fatalf("SetBusy said %v", got)
	}
	if old != nil && old.Busy != on {
		r := *old
		r.Busy = on
		m.set(&r)
		m.settle()
	}
}

// feel begins to dial a peer only to test it: the holder of a contested place, or a new one.
func (m *model) feel() {
	m.op = "Feeler"
	m.brought = m.now
	got, ok := m.s.Feeler(m.now, peerstore.Query{})
	m.settle()
	if ok && got.InTried {
		r := m.peers[got.ID]
		claimed := false
		for _, o := range m.peers {
			claimed = claimed || !o.Trusted && !o.Unconditional && o.Tried() && m.tabled(o) == peerstore.New
		}
		if !m.w.crowded || !claimed || !m.dueNow(r) || m.kept(r) {
			m.fatalf("%+v", *r)
		}
		m.did("contested place tested")
	} else {
		m.checkNext(&got, ok, &peerstore.Query{Table: peerstore.New})
	}
	if ok {
		m.apply(got.ID, func(r *peerstore.Record) { r.Busy = true })
		m.linked = append(m.linked, got.ID)
		m.did("felt")
	}
}

// dialEnds ends a dial or a link that a dial began.
func (m *model) dialEnds() {
	if len(m.linked) == 0 {
		return
	}
	i := m.m.IntN(len(m.linked))
	id := m.linked[i]
	m.op = "the end of a dial of " + id.Short()
	worked, stays := m.m.IntN(5) > 0, m.m.IntN(8) == 0
	m.apply(id, func(r *peerstore.Record) {
		r.Busy = worked && stays
		if len(r.Addresses) == 0 {
			return
		}
		a := &r.Addresses[m.m.IntN(len(r.Addresses))]
		a.LastDialed = m.now
		rest := time.Duration(m.m.IntN(1000)) * time.Second
		if worked {
			a.LastSuccess, a.Failures, a.LastError = m.now, 0, ""
			r.Failures, r.LastConnected = 0, m.now
			r.NotBefore = m.now.Add(rest / 10)
			return
		}
		a.Failures++
		r.Failures++
		a.LastError = "refused"
		a.NotBefore, r.NotBefore = m.now.Add(rest), m.now.Add(rest/2)
	})
	if !worked || !stays {
		m.linked = slices.Delete(m.linked, i, i+1)
	}
}

func (m *model) nextDue() {
	m.op = "NextDue"
	m.brought = m.now
	_, due := m.s.Next(m.now, peerstore.Query{})
	m.settle()
	got, ok := m.s.NextDue(m.now)
	var want, lowest time.Time
	var first *peerstore.Record
	found, some := false, false
	for _, r := range m.peers {
		at, without, ever := m.due(r)
		if ever && at.After(m.now) && (!found || at.Before(want)) {
			want, found, first = at, true, r
		}
		if without.Before(forEver) && !r.Busy && len(r.Addresses) > 0 && (!some || without.Before(lowest)) {
			lowest, some = without, true
		}
	}
	// A network's ban finds its peers when they come up: so the time may be that without these bans, and as long as somebody is due it may be too late.
	late := found && (!ok || got.After(want)) && !(due && m.nets() > 0)
	if late || ok && (!got.After(m.now) || !some || got.Before(lowest)) {
		m.fatalf("%v %v, want %v to %v, %v %v (now %v): %+v; bans %+v", got, ok, lowest, want, some, found, m.now, first, m.bans)
	}
	if m.nets() == 0 && (ok != found || ok && !got.Equal(want)) {
		m.fatalf("%v %v, want %v %v (now %v): %+v", got, ok, want, found, m.now, first)
	}
}

// nets is how many networks are banned.
func (m *model) nets() (n int) {
	for t, b := range m.bans {
		if t.ID == "" && m.holds(&b) {
			n++
		}
	}
	return n
}

func (m *model) advertise() {
	limit := m.m.IntN(2*m.w.limits.MaxPeers) >> m.m.IntN(6)
	m.op = fmt.Sprintf("Advertise %d", limit)
	m.brought = m.now
	got := m.s.Advertise(limit, m.now, nil)
	seen := make(map[transport.NodeID]bool, len(got))
	var may *peerstore.Record  // one that may work was told of
	var near *peerstore.Record // and one that cannot be routed
	for i, a := range got {
		r := m.peers[a.ID()]
		if i > 0 && got[i-1].ID() == a.ID() {
			m.checkWay(r, got[:i], a)
			continue
		}
		if r == nil || seen[a.ID()] {
			m.fatalf("told of %s (known %v, twice %v)", a, r != nil, seen[a.ID()])
		}
		seen[a.ID()] = true
		best := m.toShare(r)
		if best == nil || best.Address != a {
			m.fatalf("told of %s of %+v, want %+v", a, *r, best)
		}
		if works(best) && may != nil && !m.hidden[a.ID()] && !m.hidden[may.ID] {
			m.fatalf("%+v, which works, behind %+v, which may", *r, *may)
		}
		if !works(best) {
			may = r
		}
		if !a.IsRoutable() {
			near = r
		}
	}
	m.settle() // only now: a peer may lose its place in the same call, to another whose network's ban was found
	if len(got) == limit && m.step%m.w.every > 100 {
		return
	}
	wide, local := 0, 0 // who must be told of, if there is room
	var missed *peerstore.Record
	var global *peerstore.Record // a proven peer with a public IP: then those are not told of that cannot be routed
	maybe := false               // the store may still take somebody for one
	for id, r := range m.peers {
		for i := range r.Addresses {
			ip, isIP := r.Addresses[i].Address.IP()
			maybe = maybe || works(&r.Addresses[i]) && isIP && transport.IsPublicIP(ip)
		}
		best := m.toShare(r)
		if best == nil || m.hidden[id] {
			continue
		}
		if best.Address.IsRoutable() {
			wide++
			if !seen[id] {
				missed = r
			}
		} else {
			local++
		}
		ip, isIP := best.Address.IP()
		if works(best) && isIP && transport.IsPublicIP(ip) {
			global = r
		}
	}
	if near != nil && global != nil {
		m.fatalf("told of %+v, which cannot be routed, beside the proven %+v", *near, *global)
	}
	if !maybe {
		wide += local
	}
	// Each peer of a banned network that the store comes across gives up its place to another, who may so be passed by.
	if len(got) > limit || len(got) < limit && len(seen) < wide-len(m.hidden) {
		m.fatalf("told of %d peers, and %d may be told of: %+v", len(seen), wide, missed)
	}
}

// checkWay checks a further address of a peer that was told of, behind the others: it leads there another way, and is as good as the best.
func (m *model) checkWay(r *peerstore.Record, told []transport.Address, a transport.Address) {
	best := m.toShare(r)
	for _, o := range told {
		if o.ID() == a.ID() && o.Wire() == a.Wire() && o.Network() == a.Network() {
			m.fatalf("told of %s beside %s", a, o)
		}
	}
	for _, k := range r.Addresses {
		if k.Address != a {
			continue
		}
		if k.Failures > 0 || m.bannedAddr(a) || a.IsRoutable() != best.Address.IsRoutable() || works(best) && !works(&k) && k.Source.Kind != "inbound" {
			m.fatalf("told of %+v beside %+v", k, best)
		}
		m.did("told of another way")
		return
	}
	m.fatalf("told of %s, which is not known", a)
}

func (m *model) setMeta() {
	key := "key" + strconv.Itoa(m.m.IntN(4))
	m.op = "SetMeta " + key
	if m.m.IntN(3) == 0 {
		m.s.SetMeta(key, nil)
		delete(m.meta, key)
		m.sinceValues[key] = append(m.sinceValues[key], "")
		return
	}
	value := strconv.Itoa(m.m.Int())
	m.s.SetMeta(key, []byte(value))
	m.meta[key] = value
	m.sinceValues[key] = append(m.sinceValues[key], value)
}
