package handshake

import (
	"container/list"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Limits bound what handshakes may cost. A zero field means its default. A refusal names the configuration key.
type Limits struct {
	Handshakes int // limits.handshakes: in flight at once, inbound; 0 means 512
	// limits.handshakes_per_ip: in flight at once from one IP (an IPv6 /64 counts as one); 0 means 64
	HandshakesPerIP int
	AttemptsPerIP   int // limits.attempts_per_ip: new connections per 10 s from one IP; 0 means 200
}

const (
	defaultHandshakes      = 512
	defaultHandshakesPerIP = 64
	defaultAttemptsPerIP   = 200

	keyHandshakes      = "limits.handshakes"
	keyHandshakesPerIP = "limits.handshakes_per_ip"
	keyAttemptsPerIP   = "limits.attempts_per_ip"

	// attemptWindow is the time over which attempts are counted. A window begins with the first attempt in it.
	attemptWindow = 10 * time.Second
	// maxWindows bounds how many sources have their attempts counted at once. When more come, the oldest window is
	// forgotten.
	maxWindows = 16384
)

func (l Limits) withDefaults() (Limits, error) {
	for _, f := range []struct {
		key   string
		value *int
		def   int
	}{
		{keyHandshakes, &l.Handshakes, defaultHandshakes},
		{keyHandshakesPerIP, &l.HandshakesPerIP, defaultHandshakesPerIP},
		{keyAttemptsPerIP, &l.AttemptsPerIP, defaultAttemptsPerIP},
	} {
		if *f.value < 0 {
			return l, fmt.Errorf("%s: %d is negative (0 means %d)", f.key, *f.value, f.def)
		}
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	return l, nil
}

// budgets counts inbound handshakes, in all and by source. A connection whose transport has no IPs counts in the whole
// only.
type budgets struct {
	mu       sync.Mutex // guards all
	limits   Limits
	all, per Refusal // what a spent budget answers
	rate     Refusal
	lost     Refusal // what a handshake ends with whose ticket was taken away
	inFlight int
	taken    list.List // of *ticket, oldest first: those with a source; the others only count in inFlight
	groups   map[netip.Prefix]*group
	// sources holds those with a handshake in flight or a window that has not ended: at most Handshakes + maxWindows.
	sources map[netip.Prefix]*source
	windows list.List // of *source, in the order in which their windows began
}

// source is an IPv4 address or an IPv6 /64.
type source struct {
	key      netip.Prefix
	group    *group
	inFlight int
	attempts int           // in the window
	since    time.Time     // when the window began
	window   *list.Element // in budgets.windows; nil for none
}

// group is a network group (transport.IPGroup) of sources.
type group struct {
	key      netip.Prefix
	sources  int // in the map
	inFlight int
}

func newBudgets(limits Limits) *budgets {
	b := &budgets{sources: make(map[netip.Prefix]*source), groups: make(map[netip.Prefix]*group)}
	b.setLimits(limits)
	return b
}

// setLimits changes the limits of what begins from now on.
func (b *budgets) setLimits(limits Limits) {
	spent := func(key, format string, n int) Refusal {
		return Refusal{Code: muxer.CodeTooManyStarts, Stage: StageTransport, Limit: key, Reason: fmt.Sprintf(format, n)}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limits = limits
	b.all = spent(keyHandshakes, "%d handshakes are in flight", limits.Handshakes)
	b.per = spent(keyHandshakesPerIP, "%d handshakes from this IP are in flight", limits.HandshakesPerIP)
	b.rate = spent(keyAttemptsPerIP, "%d connections from this IP within 10 s", limits.AttemptsPerIP)
	b.lost = spent(keyHandshakes,
		"%d handshakes are in flight, and this IP or its network holds the most: a newcomer was preferred",
		limits.Handshakes)
}

// lostTicket returns what a handshake ends with whose ticket was taken away.
func (b *budgets) lostTicket() Refusal {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost
}

// take takes a ticket for a connection from key, or returns which budget is spent. It never waits. A zero key has no
// budget of its own. full reports that only the budget of all is spent, and that takeOver may be tried.
func (b *budgets) take(t *ticket, key netip.Prefix, now time.Time) (full bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweep(now)
	if key.IsValid() {
		s := b.sources[key]
		if s == nil {
			s = b.add(key)
		}
		if s.window == nil {
			if b.windows.Len() >= maxWindows {
				b.closeWindow()
			}
			s.attempts, s.since, s.window = 0, now, b.windows.PushBack(s)
		}
		if s.attempts >= b.limits.AttemptsPerIP {
			return false, refused(b.rate)
		}
		s.attempts++
		if s.inFlight >= b.limits.HandshakesPerIP {
			return false, refused(b.per)
		}
		t.source = s
	}
	if b.inFlight >= b.limits.Handshakes {
		return key.IsValid(), refused(b.all)
	}
	b.hold(t)
	return false, nil
}

// refused makes a Refusal that belongs to its receiver.
func refused(r Refusal) error { return &r }

// takeOver gives t the place of another ticket, loser, if one has more than the newcomer. ok reports whether t is taken
// now; loser is nil if a place was free after all.
//
// The network group that holds the most loses, in it the source that holds the most, of that source the oldest
// handshake that has not proven its key. A handshake that has just begun is thus the last to go, so that even a flood
// from everywhere leaves an honest dialer the time of a few round trips. takeOver looks at every ticket, of which there
// are hundreds at most.
func (b *budgets) takeOver(t *ticket, now time.Time) (loser *ticket, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	mine := b.sources[t.source.key]
	if mine == nil { // it was forgotten since take
		mine = b.add(t.source.key)
	}
	t.source = mine
	defer b.forget(mine)
	if mine.inFlight >= b.limits.HandshakesPerIP {
		return nil, false
	}
	if b.inFlight < b.limits.Handshakes { // one was given back since
		b.hold(t)
		return nil, true
	}
	for e := b.taken.Front(); e != nil; e = e.Next() {
		other := e.Value.(*ticket)
		if loser == nil || greedier(other, loser) {
			loser = other
		}
	}
	if loser == nil || !mine.hasLess(loser.source) {
		return nil, false
	}
	b.hold(t)
	loser.cut = true
	b.give(loser, now)
	return loser, true
}

// hasLess reports that a place of other may be given to s: its group holds fewer, or it holds fewer than another source
// of its group.
func (s *source) hasLess(other *source) bool {
	if s.group == other.group {
		return s.inFlight < other.inFlight
	}
	return s.group.inFlight < other.group.inFlight
}

// greedier reports that a loses its place before b, which is older.
func greedier(a, b *ticket) bool {
	switch x, y := a.source, b.source; {
	case x.group.inFlight != y.group.inFlight:
		return x.group.inFlight > y.group.inFlight
	case x.inFlight != y.inFlight:
		return x.inFlight > y.inFlight
	}
	return b.proven && !a.proven
}

// hold takes a ticket; mu is held.
func (b *budgets) hold(t *ticket) {
	b.inFlight++
	if s := t.source; s != nil {
		s.inFlight++
		s.group.inFlight++
		t.place = b.taken.PushBack(t)
	}
}

// give takes a ticket back; mu is held.
func (b *budgets) give(t *ticket, now time.Time) {
	t.over = true
	b.inFlight--
	if s := t.source; s != nil {
		s.inFlight--
		s.group.inFlight--
		b.taken.Remove(t.place)
		b.forget(s)
	}
	b.sweep(now)
}

// add begins to count a source; mu is held.
func (b *budgets) add(key netip.Prefix) *source {
	where := transport.IPGroup(key.Addr())
	g := b.groups[where]
	if g == nil {
		g = &group{key: where}
		b.groups[where] = g
	}
	g.sources++
	s := &source{key: key, group: g}
	b.sources[key] = s
	return s
}

// closeWindow ends the oldest window.
func (b *budgets) closeWindow() {
	s := b.windows.Remove(b.windows.Front()).(*source)
	s.window = nil
	b.forget(s)
}

// sweep ends the windows whose time is over. A window is ended once for each time it was opened, so this costs a
// constant for each connection.
func (b *budgets) sweep(now time.Time) {
	for b.windows.Len() > 0 && now.Sub(b.windows.Front().Value.(*source).since) >= attemptWindow {
		b.closeWindow()
	}
}

// forget drops a source of which nothing is left to count.
func (b *budgets) forget(s *source) {
	if s.inFlight > 0 || s.window != nil {
		return
	}
	delete(b.sources, s.key)
	if s.group.sources--; s.group.sources == 0 {
		delete(b.groups, s.group.key)
	}
}

// sourceOf returns what a remote's IP counts as: an IPv4 address or an IPv6 /64, which is what one subscriber has. It
// is not valid for the zero Addr.
func sourceOf(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, err := ip.Prefix(bits) // fails for the zero Addr only
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
