package host

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Finding is a verdict on the node: what is the matter, and what to do about it.
type Finding struct {
	Code     string // stable; docs/reasons.md describes each
	Severity Grade
	Text     string // one line
	Remedy   string // one line; empty if there is nothing to do
	Since    time.Time
}

// Grade is how bad a finding is.
type Grade string

const (
	GradeOK   Grade = "ok"
	GradeInfo Grade = "info"
	GradeWarn Grade = "warn"
	GradeBad  Grade = "bad"
)

var grades = []Grade{GradeBad, GradeWarn, GradeInfo, GradeOK} // worst first

// Bounds of the health's judgement.
const (
	lookInterval  = 15 * time.Second // between two looks, at most; the reporter's are more often
	lonelyAfter   = time.Minute      // without a link
	fewAfter      = 5 * time.Minute  // with most outbound slots free
	quietAfter    = 10 * time.Minute // without a connection that came in
	oddFor        = time.Hour        // that something which has happened is told
	clockSlack    = 10 * time.Second // by which the wall clock may differ from the time that has passed
	selfDial      = 10 * time.Second // within which both ends of a dial of ourselves are seen
	manyForgotten = 100              // and a quarter of the known peers, within a minute
	fewMoves      = 3                // peers to which no link could move, before UDP is suspected
	maxNetworks   = 8                // names of other networks that are remembered
)

// Health judges how a host is from what happens to it. Its owner gives it all events, and has it look every few
// seconds. The log's warnings and the admin API's findings come from one each. All methods may be called concurrently.
type Health struct {
	host *Host

	mu          sync.Mutex
	began       time.Time
	alone       time.Time // since when there is no link; zero while there is one
	lastFailure string    // of a dial
	heard       time.Time // the latest connection that came in, or the end of one
	lost        time.Time // the latest end of a link that we dialed
	few         time.Time // since when most outbound slots are free, as far as Check has seen; zero while they are not
	lastLook    time.Time
	known       int       // peers a minute ago
	knownAt     time.Time // when that was
	// the latest connections, in each direction, whose remote proved our own key
	selfIn, selfOut time.Time
	selfAddress     string

	unmoved   map[transport.NodeID]bool // peers whose links could not move to QUIC since one could
	strange   map[string]int            // connections of other networks, by what was said of them, since strangeAt
	strangeAt time.Time

	// what has happened, and is told for oddFor
	jumped    happening // the clock
	twin      happening // another node has our key
	forgotten happening // many peers
	dropped   happening // messages
	paused    happening // links, as a service was slow

	drops, pauses uint64               // at the last look
	since         map[string]time.Time // by code, since when a finding holds
}

// happening is something odd that happened.
type happening struct {
	at   time.Time // the last time
	text string
}

// noticed is what one look has found that was not there before.
type noticed struct {
	jump          time.Duration // of the clock; 0: none
	twin          string        // where another node with our key is; "" : none
	before, known int           // known peers, when many were forgotten; equal otherwise
	alone         bool          // there is no link
	minute        bool          // a minute has passed since this was last set
}

// NewHealth returns a Health that knows nothing yet of the host.
func NewHealth(h *Host) *Health {
	now := time.Now()
	return &Health{host: h, began: now, alone: now, lastLook: now, knownAt: now, known: h.cfg.Store.Stats().Known,
		unmoved: map[transport.NodeID]bool{}, strange: map[string]int{}, since: map[string]time.Time{}}
}

// Note takes note of an event.
func (v *Health) Note(e *Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch { // an inbound link shows until its end that we can be reached
	case e.Inbound && (e.Kind == EventUp || e.Kind == EventDown || e.Kind == EventRefused):
		v.heard = e.Time
	case e.Kind == EventDown:
		v.lost = e.Time
	}
	switch e.Kind {
	case EventUp:
		v.alone = time.Time{}
	case EventMoved:
		clear(v.unmoved)
	case EventMoveFailed:
		if len(v.unmoved) < fewMoves {
			v.unmoved[e.ID] = true
		}
	case EventDialFailed, EventRefused:
		if e.Kind == EventDialFailed {
			v.lastFailure = e.Reason.Error()
		}
		switch {
		case e.Reason.Code == muxer.CodeSelf && e.Inbound:
			v.selfIn, v.selfAddress = e.Time, e.Address
		case e.Reason.Code == muxer.CodeSelf:
			v.selfOut = e.Time
		case e.Reason.Code == muxer.CodeWrongNetwork && !e.Reason.Remote:
			if e.Time.Sub(v.strangeAt) > recentWindow {
				v.strangeAt = e.Time
				clear(v.strange)
			}
			if v.strange[e.Reason.Reason]++; len(v.strange) > maxNetworks {
				delete(v.strange, e.Reason.Reason)
			}
		}
	}
}

// look looks at what no event tells. passed is the time since the last look, whatever the wall clock says.
func (v *Health) look(now time.Time, passed time.Duration) (n noticed) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n.jump = jump(v.lastLook, now, passed); n.jump != 0 {
		v.jumped = happening{now, fmt.Sprintf("the clock jumped by %s, or the machine slept",
			n.jump.Round(time.Second))}
	}
	v.lastLook = now
	if !v.selfIn.IsZero() && now.Sub(v.selfIn) >= selfDial {
		if between := v.selfIn.Sub(v.selfOut).Abs(); between > selfDial {
			n.twin = v.selfAddress
			v.twin = happening{now, "another node uses our key: it dialed us from " + v.selfAddress}
		}
		v.selfIn = time.Time{}
	}
	if n.alone = !v.linked(); !n.alone {
		v.alone = time.Time{}
	} else if v.alone.IsZero() {
		v.alone = now
	}
	if drops := v.countDrops(); drops > v.drops {
		v.dropped = happening{now, fmt.Sprintf("%d messages were dropped at full queues since the start", drops)}
		v.drops = drops
	}
	if pauses := v.host.pauses.Load(); pauses > v.pauses {
		v.paused = happening{now, fmt.Sprintf("links were paused %d times because a service was slow", pauses)}
		v.pauses = pauses
	}
	if now.Sub(v.knownAt) < time.Minute {
		return n
	}
	n.minute, n.before, n.known = true, v.known, v.host.cfg.Store.Stats().Known
	if lost := n.before - n.known; lost >= manyForgotten && lost >= n.before/4 {
		v.forgotten = happening{now, fmt.Sprintf("the node forgot %d of %d known peers within a minute", lost,
			n.before)}
	} else {
		n.before = n.known
	}
	v.known, v.knownAt = n.known, now
	return n
}

// lonely returns for how long there is no link, and the last failure of a dial; 0 while there is one, or for less than
// lonelyAfter.
func (v *Health) lonely(now time.Time) (d time.Duration, lastFailure string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.alone.IsZero() || now.Sub(v.alone) < lonelyAfter {
		return 0, ""
	}
	return now.Sub(v.alone), v.lastFailure
}

func (v *Health) linked() (linked bool) {
	v.host.links.eachUp(func(*link) { linked = true })
	return linked
}

// countDrops returns how many messages were dropped since the start.
func (v *Health) countDrops() (n uint64) {
	for _, c := range v.host.Channels() {
		n += c.Dropped + c.Refused
	}
	return n
}

// Check returns what it finds, the worst first: at least one finding, which says that all is well.
func (v *Health) Check(now time.Time) []Finding {
	v.mu.Lock()
	last := v.lastLook
	v.mu.Unlock()
	if passed := now.Sub(last); passed >= lookInterval { // else the reporter looks, and logs what it sees
		v.look(now, passed)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	found := v.judge(now)
	holds := map[string]bool{}
	for i := range found {
		f := &found[i]
		holds[f.Code] = true
		if v.since[f.Code].IsZero() {
			v.since[f.Code] = now
		}
		if f.Since.IsZero() {
			f.Since = v.since[f.Code]
		}
	}
	for code := range v.since {
		if !holds[code] {
			delete(v.since, code)
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int {
		return slices.Index(grades, a.Severity) - slices.Index(grades, b.Severity)
	})
	return found
}

// jump returns by how much the wall clock moved more than the time that has passed; 0 if that is within clockSlack.
func jump(before, now time.Time, passed time.Duration) time.Duration {
	by := now.Round(0).Sub(before.Round(0)) - passed
	if by.Abs() <= clockSlack {
		return 0
	}
	return by
}
