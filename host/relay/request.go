package relay

import (
	"container/heap"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
)

// request is a request for one item. A peer answers in order, so that an answer belongs to the first one in
// peer.inFlight. It stays there until then, however late: who does not answer uses up its own room.
type request struct {
	peer     *peer
	want     *want // nil: another peer is asked, or nobody any more
	id       ID
	key      uint64
	size     uint32
	deadline int64 // Unix nanoseconds
	place    int   // in timers; -1: not there
}

// timers is a heap of requests, by deadline.
type timers []*request

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].deadline < t[j].deadline }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].place, t[j].place = i, j
}

// Push implements heap.Interface.
func (t *timers) Push(x any) {
	r := x.(*request)
	r.place = len(*t)
	*t = append(*t, r)
}

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	old := *t
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	r.place = -1
	return r
}

func (t *timers) remove(r *request) {
	if r.place >= 0 {
		heap.Remove(t, r.place)
	}
}

// ask requests a want from its i-th source.
func (m *machine) ask(w *want, i int, now int64) {
	s := w.take(m, i)
	p := s.peer
	r := &request{peer: p, want: w, id: w.id, key: w.key, size: s.size}
	p.inFlight = append(p.inFlight, r)
	p.busy++
	p.flying += int64(s.size)
	r.deadline = now + int64(answerTime) + p.flying*int64(time.Second)>>20
	heap.Push(&m.timers, r)
	w.state, w.request = wantAsked, r
	m.leaveLines(w)
	p.asks = append(p.asks, r)
	m.touch(p)
}

// failed ends a request that brought no item.
func (m *machine) failed(r *request) {
	w := r.want
	if r.want = nil; w == nil || w.request != r {
		return
	}
	if !slices.Contains(w.failed, r.peer.num) {
		w.failed = append(w.failed, r.peer.num)
	}
	m.retry(w)
}

// release gives room back to a peer.
func (m *machine) release(p *peer, size int64) {
	p.busy--
	p.flying -= size
	m.refillLater(p)
}

// answered takes the first request in flight; nil if there is none.
func (m *machine) answered(p *peer) *request {
	if len(p.inFlight) == 0 {
		return nil
	}
	r := p.inFlight[0]
	p.inFlight[0] = nil
	p.inFlight = p.inFlight[1:]
	m.timers.remove(r)
	return r
}

// claim returns the request that an item of n bytes answers, if its body is needed: then the caller hashes it and calls
// received. It returns nil for a body that is to be dropped.
func (m *machine) claim(p *peer, n int) *request {
	m.stats.Bodies++
	r := m.answered(p)
	if r == nil {
		m.stats.Unrequested++
		m.misdeed(p, host.Penalise, "it sent an item that nobody has requested")
		return nil
	}
	if n != int(r.size) {
		m.stats.Lies++
		m.misdeed(p, host.Penalise, "it sent an item of another size than it had announced")
		m.release(p, int64(r.size))
		m.failed(r)
		return nil
	}
	if w := m.wants[r.id]; m.finished(r.key) || w != nil && w.state == wantJudged {
		m.stats.Duplicates++
		m.release(p, int64(r.size))
		return nil
	}
	return r
}

// received takes the body of an item that was claimed, and its real id. wire is the message of the item alone, if there
// is one.
func (m *machine) received(r *request, id ID, body, wire []byte) {
	p := r.peer
	if id != r.id {
		m.stats.Garbage++
		m.misdeed(p, host.Disconnect, "it answered a request with something else")
		m.release(p, int64(r.size))
		m.failed(r)
		return
	}
	w := m.wants[id]
	if m.finished(r.key) || w != nil && w.state == wantJudged { // between claim and received
		m.stats.Duplicates++
		m.release(p, int64(r.size))
		return
	}
	m.stats.Fetched++
	m.arrived(w, p, id, r.key, int64(r.size), body, wire)
}

// arrived takes the body of an item that we lack. Its peer has size bytes and one place less room until it is accepted.
func (m *machine) arrived(w *want, p *peer, id ID, key uint64, size int64, body, wire []byte) {
	if !m.validates {
		if w != nil {
			m.drop(w)
		}
		m.release(p, size)
		m.relay(m.accept(id, key, body, wire, p.name))
		return
	}
	if m.unjudged > 0 && m.unjudged+size > m.shelf.mostSize { // of peers that have gone, too
		m.stats.Postponed++
		p.owes = true
		m.release(p, size)
		if w != nil {
			m.drop(w)
		}
		return
	}
	if w == nil { // nobody was left to ask, and here it comes late, or pushed
		w = m.newWant(id, key)
	}
	if w.request != nil {
		m.timers.remove(w.request)
		w.request = nil
	}
	m.leaveLines(w)
	w.state, w.holder, w.heldSize, w.body, w.wire = wantJudged, p, size, body, wire
	m.effects = append(m.effects, effect{kind: judge, from: p.name, id: id, body: body})
	m.unjudged += size
}

// missing takes the word that the peer does not have the next count items that were requested.
func (m *machine) missing(p *peer, count int) {
	for range count {
		r := m.answered(p)
		if r == nil {
			m.misdeed(p, host.Penalise, "it answered more requests than there were")
			return
		}
		m.stats.Missing++
		m.release(p, int64(r.size))
		m.failed(r)
	}
}

// pushed takes an item that its publisher has sent without being asked.
func (m *machine) pushed(p *peer, id ID, body []byte) {
	m.stats.Bodies++
	key := m.key(id)
	p.inventory.mark(key, heard)
	w := m.wants[id]
	switch {
	case m.finished(key) || w != nil && w.state == wantJudged:
		m.stats.Duplicates++
		return
	case m.validates && !p.hasRoom(int64(len(body))): // as if it had been announced
		m.stats.PushesCut++
		m.announced(p, []ID{id}, []uint32{uint32(len(body))}, false)
		return
	}
	m.stats.Pushed++
	p.busy++
	p.flying += int64(len(body))
	m.arrived(w, p, id, key, int64(len(body)), body, nil)
}

// due returns when expire has something to do; false if it has not.
func (m *machine) due() (at int64, ok bool) {
	if len(m.timers) > 0 {
		at, ok = m.timers[0].deadline, true
	}
	if len(m.held) > 0 && (!ok || m.held[0].at < at) {
		at, ok = m.held[0].at, true
	}
	return at, ok
}

// expire ends what has taken too long.
func (m *machine) expire(now int64) {
	for len(m.timers) > 0 && m.timers[0].deadline <= now {
		r := heap.Pop(&m.timers).(*request)
		m.stats.Timeouts++
		m.failed(r)
	}
	n := 0
	for ; n < len(m.held) && m.held[n].at <= now; n++ {
		m.touch(m.held[n].peer)
		m.held[n] = hold{}
	}
	if m.held = m.held[n:]; len(m.held) == 0 {
		m.held = nil
	}
}
