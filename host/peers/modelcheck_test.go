package peers

import (
	"maps"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

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
		case l.free && !l.lent:
			trusted++
		}
		if l.role == "current" {
			current[l.id]++
		}
		ml := m.links[l.num]
		if ml == nil || ml.peer.id != l.id || (ml == ml.peer.preferred) != (l.role == "current") ||
			(ml == ml.peer.standby) != (l.role == "standby") ||
			(ml.state == closing) != l.evict || ml.told != l.handed || (ml.slot == slotEntry) != l.entry ||
			(ml.slot == slotNone) != (l.lent || l.role == "leaving") ||
			ml.state != w.state(l) {
			w.fatal("link %+v is %+v", *l, *ml)
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
	guests := w.guests()
	if c.Guests != min(guests, w.cfg.Guests) {
		w.fatal("counts %+v, want %d guests", c, guests)
	}
	if called := w.called(); c.DialedGuests != called || called > w.cfg.DialedGuests {
		w.fatal("counts %+v, want %d dialed guests", c, called)
	}
	entries := max(0, guests-w.cfg.Guests) + max(0, in-w.cfg.MaxInbound)
	if entries != m.linked[slotEntry] || entries > w.cfg.MaxUpgrades {
		w.fatal("%d entries, want %d: %d in, %d guests", m.linked[slotEntry], entries, in, guests)
	}
	if c.Inbound != min(in, w.cfg.MaxInbound) || c.Trusted != trusted || c.Outbound+c.Upgrades-entries != links ||
		c.Dialing != len(w.dials) {
		w.fatal("counts %+v, want inbound %d, trusted %d, outbound %d, dials %d", c, in, trusted, links, len(w.dials))
	}
	upgrades := m.linked[slotUpgrade] + m.dialing[slotUpgrade]
	if upgrades != max(0, links+dials-w.cfg.MaxOutbound) || upgrades > w.cfg.MaxUpgrades {
		w.fatal("%d upgrades, %d links and %d dials out, %d in", upgrades, links, dials, in)
	}
	w.checkPeers()
	w.checkViews()
	if w.rng.IntN(32) == 0 {
		for _, a := range m.Advertise("", 100) {
			rec, _ := m.store.Get(a.ID())
			ip, _ := a.IP()
			if w.roles[a.ID()].Private || w.banned(a.ID(), ip) || !rec.Quarantined.IsZero() {
				w.fatal("%s is advertised, which is private, banned or in quarantine: %+v", a, rec)
			}
			for _, l := range w.links {
				if l.guest && l.id == a.ID() {
					w.fatal("the guest %s is advertised", a.ID())
				}
			}
		}
	}
}

// state is the state that a link is in.
func (w *model) state(l *modelLink) linkState {
	switch {
	case l.evict:
		return closing
	case !l.ready.IsZero():
		return up
	case l.established:
		return established
	case l.role == "standby":
		return standby
	}
	return handshaken
}

func (w *model) checkPeers() {
	m := w.m
	for _, id := range w.ids {
		rec, known := m.store.Get(id)
		p := m.peers[id]
		busy := p != nil
		if p != nil && (p.idle() || p.busy != true || (p.dial != nil) != (w.dials[id] != nil)) {
			w.fatal("state of %s: %+v", id, *p)
		}
		if known && rec.Busy != busy {
			w.fatal("%s is busy: %v, the store says %v", id, busy, rec.Busy)
		}
		if w.trusted(id) && (!known || !rec.Trusted) {
			w.fatal("the trusted %s is lost: %+v", id, rec)
		}
		if !known && busy && len(w.dials) == 0 {
			w.fatal("%s is linked and not known", id)
		}
		score, _ := decay(int(rec.Score), rec.Scored, time.Now())
		if w.rng.IntN(32) == 0 {
			st, _ := m.Status(id)
			score = st.Score
		}
		if rec.Score < peerstore.MinScore || rec.Score > peerstore.MaxScore || known && score != w.scoreOf(id) {
			w.fatal("%s has a score of %d (%d), want %d", id, rec.Score, score, w.score[id])
		}
	}
	for id := range m.peers {
		if !slices.Contains(w.ids, id) {
			w.fatal("a state of %s", id)
		}
	}
	want := slices.Sorted(maps.Keys(w.using))
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
		case u.Status == Up && view[u.ID], u.Status == Down && !view[u.ID], u.Status == Down && u.Reason == nil:
			w.fatal("update %+v, and it was %v", u, view[u.ID])
		case u.Status == Up:
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
