package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The operations of the model test that choose a peer to dial and report the result.

// next asks for a peer to dial and checks that no better one is due: trusted peers come first, avoided groups last,
// then unroutable peers, and new ones at odd ports.
func (m *model) next(reserve bool) (peerstore.Record, bool) {
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
	q.Links = m.m.IntN(20)
	if m.m.IntN(2) == 0 {
		avoid := m.groups.Of(m.address())
		q.Avoid = func(g peerstore.Group) bool { return g == avoid }
		m.op += fmt.Sprintf(", avoiding %v", avoid)
	}
	m.op += fmt.Sprintf(", table %d", q.Table)
	q.Reserve = reserve
	if m.m.IntN(2) == 0 {
		q.Room = m.room
	}
	m.told = m.now
	got, ok := m.s.Next(m.now, q)
	m.settle()
	if ok && got.Busy != reserve {
		m.fatalf("busy: %v", got.Busy)
	}
	reserved := got.Busy
	got.Busy = false
	m.checkNext(&got, ok, &q)
	if reserved {
		m.busy(got.ID, true)
	}
	if q.Room != nil {
		m.room = got.Addresses
	}
	return got, ok
}

// rank is what next compares choices by.
type rank struct {
	trusted, wanted bool
	reach           int
}

func (r rank) before(o rank) bool {
	if r.trusted != o.trusted {
		return r.trusted
	}
	if r.wanted != o.wanted {
		return r.wanted
	}
	return r.reach > o.reach
}

func (m *model) rankOf(r *peerstore.Record, q *peerstore.Query) rank {
	if r.Trusted {
		return rank{trusted: true}
	}
	return rank{false, q.Avoid == nil || !q.Avoid(m.group(r)), reach(r)}
}

// tabled returns the table of a peer. In a crowded world only the store can tell.
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
		return m.dueNow(r) && (q.Skip == nil || !q.Skip(r.ID)) &&
			(q.Table == peerstore.Any || !r.Trusted && m.tabled(r) == q.Table)
	}
	var mine rank
	if ok {
		r := m.peers[got.ID]
		if r == nil || !fits(r) || !Equal(*got, *r) {
			m.fatalf("%+v, which is\n%+v", *got, r)
		}
		mine = m.rankOf(r, q)
		if m.step%m.w.every > 100 {
			return
		}
	}
	for _, r := range m.peers {
		if !fits(r) {
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
	reserve := m.m.IntN(2) == 0
	if r, ok := m.next(reserve); ok {
		m.op += ", dial " + r.ID.Short()
		if !reserve {
			m.setBusy(r.ID, true)
		}
		m.linked = append(m.linked, r.ID)
		m.did("dialed")
	}
}

// setBusy marks a peer in the store and the model.
func (m *model) setBusy(id transport.NodeID, on bool) {
	old := m.peers[id]
	if got := m.s.SetBusy(id, on); got != (old != nil) {
		m.fatalf("SetBusy said %v", got)
	}
	m.busy(id, on)
}

// busy marks a peer in the model.
func (m *model) busy(id transport.NodeID, on bool) {
	if old := m.peers[id]; old != nil && old.Busy != on {
		r := *old
		r.Busy = on
		m.set(&r)
		m.settle()
	}
}

// feeler begins to dial a peer only to test it: the holder of a contested place, or a new one.
func (m *model) feeler() {
	m.op = "Feeler"
	m.told = m.now
	got, ok := m.s.Feeler(m.now, peerstore.Query{Reserve: true})
	m.settle()
	if ok && !got.Busy {
		m.fatalf("%+v is not reserved", got)
	}
	got.Busy = false
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
		m.busy(got.ID, true)
		m.linked = append(m.linked, got.ID)
		m.did("feeler dialed")
	}
}

// dialEnds ends a dial, or a link that a dial began.
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
	m.told = m.now
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
		if without.Before(forever) && !r.Busy && len(r.Addresses) > 0 && (!some || without.Before(lowest)) {
			lowest, some = without, true
		}
	}
	// The store applies a network's ban to its peers only when it meets them. So the time may be that without these
	// bans, and while somebody is due it may be too late.
	late := found && (!ok || got.After(want)) && !(due && m.nets() > 0)
	if late || ok && (!got.After(m.now) || !some || got.Before(lowest)) {
		m.fatalf("%v %v, want %v to %v, %v %v (now %v): %+v; bans %+v", got, ok, lowest, want, some, found, m.now,
			first, m.bans)
	}
	if m.nets() == 0 && (ok != found || ok && !got.Equal(want)) {
		m.fatalf("%v %v, want %v %v (now %v): %+v", got, ok, want, found, m.now, first)
	}
}
