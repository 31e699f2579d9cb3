package relay

import "slices"

// want is an item that we lack and that peers have announced.
type want struct {
	id      ID
	key     uint64
	state   wantState
	listed  bool     // in machine.idle
	sources []source // announcements that were not used yet
	failed  []uint64 // peers that announced it and did not bring it; they come last if they announce it again
	request *request // of wantAsked

	// Of wantJudged: what came, from whom, and what it counts against the peer's budget.
	holder     *peer
	heldSize   int64
	body, wire []byte
}

type wantState uint8

const (
	wantIdle   wantState = iota // in machine.idle, or in the line of each of its sources
	wantAsked                   // in flight at one peer
	wantJudged                  // it came, and waits for judged
	wantOver
)

// source is an announcement: it serves for one request.
type source struct {
	peer   *peer
	size   uint32
	inLine bool // the want is in peer.line
}

func (m *machine) newWant(id ID, key uint64) *want {
	w := &want{id: id, key: key}
	m.wants[id] = w
	return w
}

// announcedBy reports whether an announcement of the peer waits, or its request is in flight.
func (w *want) announcedBy(p *peer) bool {
	return w.find(p) >= 0 || w.request != nil && w.request.peer == p
}

func (w *want) find(p *peer) int {
	return slices.IndexFunc(w.sources, func(s source) bool { return s.peer == p })
}

// take removes a source.
func (w *want) take(m *machine, i int) source {
	s := w.sources[i]
	last := len(w.sources) - 1
	w.sources[i] = w.sources[last]
	w.sources[last] = source{}
	w.sources = w.sources[:last]
	if s.peer.waiting--; s.peer.waiting == fewWaiting-1 && s.peer.owes {
		m.touch(s.peer)
	}
	return s
}

// leaveLines lets those start that stand in line behind a want which is no longer idle.
func (m *machine) leaveLines(w *want) {
	for _, s := range w.sources {
		if s.inLine {
			m.refillLater(s.peer)
		}
	}
}

// list puts an idle want on the list of begin.
func (m *machine) list(w *want) {
	if !w.listed {
		w.listed = true
		m.idle = append(m.idle, w)
	}
}

// retry makes a want idle whose request failed, or drops it if nobody is left to ask.
func (m *machine) retry(w *want) {
	w.state, w.request = wantIdle, nil
	for i := len(w.sources) - 1; i >= 0; i-- {
		if w.sources[i].peer.gone {
			w.take(m, i)
		}
	}
	if len(w.sources) == 0 {
		m.drop(w)
		return
	}
	m.list(w)
}

// drop ends a want. An answer that is still in flight is not needed any more.
func (m *machine) drop(w *want) {
	w.state = wantOver
	m.leaveLines(w)
	for len(w.sources) > 0 {
		w.take(m, len(w.sources)-1)
	}
	if w.request != nil {
		m.timers.remove(w.request)
		w.request = nil
	}
	if w.holder != nil {
		m.unjudged -= w.heldSize
		m.release(w.holder, w.heldSize)
	}
	w.holder, w.body, w.wire = nil, nil, nil
	delete(m.wants, w.id)
}

// startAll asks for all wants on the list: one announcer each, or they stand in line for the next free one.
func (m *machine) startAll(now int64) {
	for i := 0; i < len(m.idle); i++ { // starting one may list others
		w := m.idle[i]
		m.idle[i] = nil
		w.listed = false
		if w.state == wantIdle {
			m.start(w, now)
		}
	}
	m.idle = m.idle[:0]
}

// start chooses an announcer that has room and no line: outbound peers first, those that failed last, by chance among
// equals.
func (m *machine) start(w *want, now int64) {
	for _, s := range w.sources {
		if len(s.peer.line) > 0 {
			if m.refill(s.peer, now); w.state != wantIdle { // it was in that line
				return
			}
		}
	}
	best, rank, equals := -1, 0, 0
	for i := len(w.sources) - 1; i >= 0; i-- {
		s := &w.sources[i]
		if s.peer.gone {
			w.take(m, i) // the last one, which was looked at, takes its place
			if best == len(w.sources) {
				best = i
			}
			continue
		}
		if len(s.peer.line) > 0 || !s.peer.hasRoom(int64(s.size)) {
			continue
		}
		r := 1
		switch {
		case slices.Contains(w.failed, s.peer.num):
			r = 2
		case s.peer.outbound:
			r = 0
		}
		switch {
		case best < 0 || r < rank:
			best, rank, equals = i, r, 1
		case r == rank:
			if equals++; m.rand.IntN(equals) == 0 {
				best = i
			}
		}
	}
	switch {
	case best >= 0:
		m.ask(w, best, now)
	case len(w.sources) == 0:
		m.drop(w)
	default:
		for i := range w.sources {
			if s := &w.sources[i]; !s.inLine {
				s.inLine = true
				s.peer.line = append(s.peer.line, w)
			}
		}
	}
}

// refill starts what stands in line for a peer, as far as it has room.
func (m *machine) refill(p *peer, now int64) {
	n := 0
	for ; n < len(p.line); n++ {
		w := p.line[n]
		i := w.find(p)
		if w.state == wantOver || i < 0 || !w.sources[i].inLine {
			p.line[n] = nil
			continue
		}
		if w.state == wantIdle && !p.hasRoom(int64(w.sources[i].size)) {
			break
		}
		p.line[n] = nil
		w.sources[i].inLine = false // if another peer is at it, it stands in line again should that fail
		if w.state == wantIdle {
			m.ask(w, i, now)
		}
	}
	if p.line = p.line[n:]; len(p.line) == 0 {
		p.line = nil
	}
}
