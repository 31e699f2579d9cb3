package admin

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
)

// Bounds of the stream. What a reader has not taken waits in one place for all of them.
const (
	feedStep     = time.Second
	feedPing     = 5 // steps; also between two points of the traffic
	feedLinger   = time.Minute
	feedMessages = 512
	feedBytes    = 8 << 20 // of these messages, at most
	feedEvents   = 50      // a second; more are counted
)

// feed makes the messages of GET /v1/stream, for all readers together, and takes the points of the traffic. One
// goroutine, that of Server.Watch, makes messages; readers take them at their own pace.
type feed struct {
	s       reads
	history *history

	mu       sync.Mutex
	running  bool
	readers  int
	left     time.Time // when the last reader left
	told     *view     // what readers know; nil while nobody reads
	seq      uint64    // of the latest message; it begins with the time, so that each start has greater ones
	messages []message
	bytes    int           // of messages
	news     chan struct{} // closed with the next message
	heard    uint64        // the number of the latest event that it knows of
	burst    int           // events in this step
	missed   int           // events left out since the latest delta
}

// message is one server-sent event.
type message struct {
	seq  uint64
	kind string
	data []byte
}

func newFeed(s *Server) *feed {
	now := time.Now()
	return &feed{s: reads{s}, history: newHistory(now), seq: uint64(max(now.UnixMicro(), 1)), news: make(chan struct{})}
}

// Watch takes the points of the traffic, follows the node's health and feeds the readers of GET /v1/stream until ctx
// ends. Run does that too; Watch is for programs that serve Handler with a server of their own.
func (s *Server) Watch(ctx context.Context) error {
	f := s.feed
	f.mu.Lock()
	if f.running {
		f.mu.Unlock()
		return errors.New("admin: the stream is fed already")
	}
	f.running = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running, f.told = false, nil
		close(f.news) // readers go home
		f.news = make(chan struct{})
	}()
	past, events := s.node.Watch.Journal().Follow(ctx, 0)
	for i := range past {
		f.event(&past[i])
	}
	tick := time.NewTicker(feedStep)
	defer tick.Stop()
	for step := 1; ; {
		select {
		case e, open := <-events:
			if !open {
				events = nil // the node stops
				continue
			}
			if s.node.Health != nil {
				s.node.Health.Note(&e)
			}
			f.event(&e)
		case <-tick.C:
			f.step(step)
			step++
		case <-ctx.Done():
			return nil
		}
	}
}

// step does what is due each second.
func (f *feed) step(n int) {
	now, fifth := time.Now(), n%feedPing == 0
	if fifth {
		f.history.sample(now, f.s.node.Links.Peers())
	}
	f.mu.Lock()
	if f.readers == 0 && f.told != nil && now.Sub(f.left) >= feedLinger {
		f.told, f.messages, f.bytes = nil, nil, 0
	}
	told := f.told
	f.mu.Unlock()
	if told == nil {
		if fifth {
			_ = f.s.findings(now) // so that it notices what comes and goes
		}
		return
	}
	v := f.s.lookNow(now)
	dials := f.s.dialsNow(told.attempts, mostAttempts)
	v.dialing, v.attempts = dials.Dialing, dials.Seq
	f.mu.Lock()
	defer f.mu.Unlock()
	d := v.delta(told)
	if len(dials.Attempts) > 0 {
		d.Attempts = dials.Attempts
	}
	if fifth {
		point := f.history.latest(f.s.node.Links.Channels())
		d.Traffic = &point
	}
	d.LeftOut, f.missed, f.burst = f.missed, 0, 0
	f.told = v
	if !d.isEmpty() {
		d.Seq = f.seq + 1
		f.publish("delta", d)
	}
	if fifth {
		f.publish("ping", Ping{f.seq + 1, now})
	}
}

// event tells readers of an event.
func (f *feed) event(e *host.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = e.Seq
	switch {
	case f.told == nil:
	case f.burst >= feedEvents:
		f.missed++
	default:
		f.burst++
		f.publish("event", StreamEvent{f.seq + 1, eventOf(e)})
	}
}

// publish adds a message. f.mu is held.
func (f *feed) publish(kind string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		return // no type here fails
	}
	f.seq++
	f.messages = append(f.messages, message{f.seq, kind, data})
	f.bytes += len(data)
	for len(f.messages) > feedMessages || f.bytes > feedBytes {
		f.bytes -= len(f.messages[0].data)
		f.messages[0] = message{}
		f.messages = f.messages[1:]
	}
	close(f.news)
	f.news = make(chan struct{})
}

// join adds a reader that has had the message after, if it says so. first is the snapshot that it needs; nil if the
// messages after that one are still there. The reader calls leave when it goes.
func (f *feed) join(after uint64, resumes bool) (seq uint64, first *Snapshot, err error) {
	now := time.Now()
	f.mu.Lock()
	fresh := f.told == nil
	f.mu.Unlock()
	var v *view
	if fresh {
		v = f.s.lookNow(now)
		dials := f.s.dialsNow(0, 1)
		v.dialing, v.attempts = dials.Dialing, dials.Seq
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.running {
		return 0, nil, errNotFed
	}
	f.readers++
	if f.told == nil {
		f.told = v
		if v == nil { // it was dropped in between
			f.readers--
			return 0, nil, errNotFed
		}
	}
	if resumes && after <= f.seq && len(f.messages) > 0 && after+1 >= f.messages[0].seq {
		return after, nil, nil
	}
	snapshot := f.s.snapshot(f.told, f.seq, f.heard)
	return f.seq, &snapshot, nil
}

func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readers--; f.readers == 0 {
		f.left = time.Now()
	}
}

// after returns the messages after one, and a channel that is closed with the next one. ok is false if the reader was
// too slow to get all of them, or nobody feeds the stream any more.
func (f *feed) after(seq uint64) (list []message, news <-chan struct{}, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.running || f.told == nil {
		return nil, nil, false
	}
	if seq == f.seq {
		return nil, f.news, true
	}
	if len(f.messages) == 0 || seq+1 < f.messages[0].seq {
		return nil, nil, false
	}
	list = f.messages[seq+1-f.messages[0].seq:]
	return append([]message(nil), list...), f.news, true
}
