package host

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	journalSize    = 512 // events, and attempts, that a Journal keeps
	eventBuffer    = 256 // events that a watcher may lag behind before it loses some
	maxEventStream = 64  // watchers at once

	recentWindow = 10 * time.Minute // that Recent counts
	recentStep   = 30 * time.Second
)

// Journal holds what has happened to the connections of a node lately: the last 512 events, the last 512 attempts (the
// events that tell of a dial, a connection that came in, or a refusal) and the dials in progress. It sends events to
// watchers; one that lags loses events and delays nobody. The zero Journal is empty. All methods may be called
// concurrently.
type Journal struct {
	mu       sync.Mutex
	watchers map[chan Event]struct{}
	closed   bool
	// Events are numbered in order. The first number is the time in microseconds: a reader that comes back after a
	// restart asks for events after a smaller one, and gets all.
	first, last uint64
	events      []*Event // up to journalSize; then number n is at (n - first) % journalSize
	attempts    []*Event // the same, of the events that are attempts, by tried
	tried       int      // attempts so far
	dialing     map[*Dialing]struct{}
	recent      [recentWindow/recentStep + 1]recentCounts
}

// Dialing is a dial of one address that is in progress.
type Dialing struct {
	ID      transport.NodeID
	Address string
	Source  string // where the address is from, as in peerstore.Source
	Since   time.Time
	Stage   string // of the handshake: see handshake.Stage
	addr    transport.Address
}

// Recent counts what came of connections in the last 10 minutes.
type Recent struct {
	Refused     int // connections that came in and were refused, or failed
	Dials       int // addresses that we dialed
	DialsFailed int // of them, those that brought no link
}

// recentCounts are those of one step of time.
type recentCounts struct {
	step int64 // since 1970; the counts are of another time if it is not this one
	Recent
}

// Worked reports whether the event tells of a dial or a connection that brought what it was to bring.
func (k EventKind) Worked() bool { return k == EventUp || k == EventFeeler || k == EventMoved }

// Add numbers an event, and notes its time if it has none.
func (j *Journal) Add(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if j.last++; j.first == 0 {
		j.first = uint64(max(e.Time.UnixMicro(), 1))
		j.last = j.first
	}
	e.Seq = j.last
	if len(j.events) < journalSize {
		j.events = append(j.events, &e)
	} else {
		j.events[(e.Seq-j.first)%journalSize] = &e
	}
	if e.Kind != EventDown && e.Kind != EventBan && e.Kind != EventUnban && e.Kind != EventChanged {
		if len(j.attempts) < journalSize {
			j.attempts = append(j.attempts, &e)
		} else {
			j.attempts[j.tried%journalSize] = &e
		}
		j.tried++
		step := e.Time.Unix() / int64(recentStep/time.Second)
		r := &j.recent[uint64(step)%uint64(len(j.recent))]
		if r.step != step {
			*r = recentCounts{step: step}
		}
		switch {
		case e.Inbound && e.Kind == EventRefused:
			r.Refused++
		case !e.Inbound:
			r.Dials++
			if e.Kind != EventUp && e.Kind != EventFeeler && e.Kind != EventMoved {
				r.DialsFailed++
			}
		}
	}
	for w := range j.watchers {
		select {
		case w <- e:
		default:
		}
	}
}

// Since returns the events that are kept after the number seq, oldest first, and the number of the last event. A seq
// that is yet to come is one of an earlier run: all are returned.
func (j *Journal) Since(seq uint64) (events []Event, last uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.after(j.events, int(j.last-j.first)+1, seq), j.last
}

// Attempts returns the attempts that are kept after the number seq, as Since does.
func (j *Journal) Attempts(seq uint64) (attempts []Event, last uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.after(j.attempts, j.tried, seq), j.last
}

// after returns the events of a ring after a number; n is how many have been put into it.
func (j *Journal) after(ring []*Event, n int, seq uint64) (out []Event) {
	if seq > j.last {
		seq = 0
	}
	for i := range ring {
		e := ring[i]
		if len(ring) == journalSize {
			e = ring[(n+i)%journalSize]
		}
		if e.Seq > seq {
			out = append(out, *e)
		}
	}
	return out
}

// Dialing returns the dials in progress, the oldest first.
func (j *Journal) Dialing() []Dialing {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]Dialing, 0, len(j.dialing))
	for d := range j.dialing {
		out = append(out, *d)
	}
	slices.SortFunc(out, func(a, b Dialing) int { return a.Since.Compare(b.Since) })
	return out
}

// Recent returns the counts of the last 10 minutes.
func (j *Journal) Recent() (sum Recent) {
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest := time.Now().Add(-recentWindow).Unix() / int64(recentStep/time.Second)
	for i := range j.recent {
		if r := &j.recent[i]; r.step >= oldest {
			sum.Refused += r.Refused
			sum.Dials += r.Dials
			sum.DialsFailed += r.DialsFailed
		}
	}
	return sum
}

// Events returns the events from now on. The channel is closed when ctx or the host ends. A watcher that lags by more
// than 256 events loses some. At most 64 watchers are served: a further one gets a closed channel.
func (j *Journal) Events(ctx context.Context) <-chan Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.watch(ctx)
}

// Follow returns what Since does, and the events after that as Events does.
func (j *Journal) Follow(ctx context.Context, seq uint64) (past []Event, next <-chan Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.after(j.events, int(j.last-j.first)+1, seq), j.watch(ctx)
}

// watch adds a watcher. j.mu is held.
func (j *Journal) watch(ctx context.Context) <-chan Event {
	w := make(chan Event, eventBuffer)
	if j.closed || len(j.watchers) >= maxEventStream {
		close(w)
		return w
	}
	if j.watchers == nil {
		j.watchers = map[chan Event]struct{}{}
	}
	j.watchers[w] = struct{}{}
	context.AfterFunc(ctx, func() { j.drop(w) })
	return w
}

func (j *Journal) drop(w chan Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.watchers[w]; ok {
		delete(j.watchers, w)
		close(w)
	}
}

func (j *Journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	for w := range j.watchers {
		delete(j.watchers, w)
		close(w)
	}
}
