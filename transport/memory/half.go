package memory

import (
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// half is one direction of a connection: a ring of bytes. Those in front have arrived, the others arrive at the times
// of their segments. It has no goroutine: a reader waits for the next arrival itself.
type half struct {
	limit int // bytes that the ring may hold

	mu       sync.Mutex // guards all below
	readable sync.Cond
	writable sync.Cond
	cond     Conditions
	rng      *rand.Rand // nil until chance has a part
	seed     [2]uint64

	ring     []byte // its length is a power of two, or limit; it grows up to limit
	start    int    // of the oldest byte
	held     int    // bytes in the ring
	ready    int    // of these, arrived
	segments []segment
	first    int       // the oldest segment in segments
	lineFree time.Time // when the sender's line has sent what was written
	lastAt   time.Time // when the last segment, or the end, arrives

	end  notice // for the reader: the writer has closed
	gone notice // for the writer: the reader has closed

	unheard int // bytes written since then

	noRead, noWrite             error // why this end may not be used any more: net.ErrClosed, ECONNRESET, EPIPE
	readDeadline, writeDeadline time.Time
	readAlarm, writeAlarm       alarm
	writing                     bool // a Write is in progress: its bytes stay together
}

// segment is some bytes that arrive together.
type segment struct {
	size int
	at   time.Time // zero: when the path is up again
}

// notice is a fact that travels to the other end.
type notice struct {
	sent bool
	at   time.Time // as in segment
}

func (n notice) arrived(now time.Time) bool { return n.sent && !n.at.IsZero() && !n.at.After(now) }

// atOnce is before every clock reading, so bytes that arrive then have arrived.
var atOnce = time.Unix(1, 0)

// mostSegments bounds what many small writes cost beside their bytes.
const mostSegments = 4096

func (h *half) init(limit int, c Conditions, seed [2]uint64) {
	h.limit, h.cond, h.seed = limit, c, seed
	h.readable.L, h.writable.L = &h.mu, &h.mu
}

// read waits for bytes to arrive.
func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		var now time.Time // read only where it matters
		if !h.readDeadline.IsZero() || len(h.segments) > h.first || h.end.sent {
			now = time.Now()
		}
		switch {
		case h.noRead != nil:
			return 0, h.noRead
		case passed(h.readDeadline, now):
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		}
		h.arrive(now)
		if h.ready > 0 {
			return h.take(b), nil
		}
		if h.held == 0 && h.end.arrived(now) {
			return 0, io.EOF
		}
		h.readAlarm.set(h, &h.readable, now, earliest(h.readDeadline, h.nextArrival()))
		h.readable.Wait()
	}
}

// arrive counts the bytes whose time has come.
func (h *half) arrive(now time.Time) {
	for h.first < len(h.segments) {
		s := h.segments[h.first]
		if s.at.IsZero() || s.at.After(now) {
			return
		}
		h.ready += s.size
		h.first++
	}
	h.segments, h.first = h.segments[:0], 0
}

// nextArrival returns when something changes for the reader; zero when nothing is under way.
func (h *half) nextArrival() time.Time {
	if h.first < len(h.segments) {
		return h.segments[h.first].at
	}
	if h.end.sent {
		return h.end.at
	}
	return time.Time{}
}

// take copies arrived bytes out of the ring.
func (h *half) take(b []byte) int {
	n := copy(b[:min(len(b), h.ready)], h.ring[h.start:])
	if n < len(b) && n < h.ready { // the bytes go on at the ring's beginning
		n += copy(b[n:min(len(b), h.ready)], h.ring)
	}
	h.start += n
	if h.start >= len(h.ring) {
		h.start -= len(h.ring)
	}
	h.held -= n
	h.ready -= n
	if h.held == 0 {
		h.start = 0
	}
	if h.ready > 0 {
		h.readable.Signal() // another reader may be waiting
	}
	// A writer that waits for room goes on when half of it is free: fewer switches between the two.
	if h.held <= h.limit/2 {
		h.writable.Broadcast()
	}
	return n
}

// write waits for room.
func (h *half) write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	done := 0
	mine := false // h.writing is ours
	defer func() {
		if mine {
			h.writing = false
			h.writable.Broadcast()
		}
	}()
	for {
		var now time.Time
		if !h.writeDeadline.IsZero() || h.gone.sent || !h.cond.instant() {
			now = time.Now()
		}
		switch {
		case h.noWrite != nil:
			return done, h.noWrite
		case passed(h.writeDeadline, now):
			return done, os.ErrDeadlineExceeded
		case h.gone.arrived(now):
			return done, syscall.EPIPE
		case done == len(b):
			return done, nil
		}
		if mine || !h.writing {
			mine, h.writing = true, true
			// the reader has gone, but the notice is under way: nothing is acknowledged, so the buffer fills up
			if h.noRead != nil {
				if n := min(len(b)-done, h.limit-h.unheard); n > 0 {
					h.unheard += n
					done += n
					continue
				}
			} else if h.held < h.limit && len(h.segments)-h.first < mostSegments {
				n := h.put(b[done:])
				h.schedule(n, now)
				done += n
				continue
			}
		}
		h.writeAlarm.set(h, &h.writable, now, earliest(h.writeDeadline, h.gone.at))
		h.writable.Wait()
	}
}

// put copies bytes into the ring, and lets it grow.
func (h *half) put(b []byte) int {
	n := min(len(b), h.limit-h.held)
	if h.held+n > len(h.ring) {
		size := max(len(h.ring), 2048)
		for size < h.held+n {
			size *= 2
		}
		ring := make([]byte, min(size, h.limit))
		k := copy(ring, h.ring[h.start:min(h.start+h.held, len(h.ring))])
		copy(ring[k:], h.ring[:h.held-k])
		h.ring, h.start = ring, 0
	}
	at := h.start + h.held
	if at >= len(h.ring) {
		at -= len(h.ring)
	}
	k := copy(h.ring[at:], b[:n])
	copy(h.ring, b[k:n])
	h.held += n
	return n
}

// schedule sets when n bytes arrive that were just put into the ring.
func (h *half) schedule(n int, now time.Time) {
	if h.cond.instant() && len(h.segments) == h.first {
		h.ready += n
		h.readable.Signal()
		return
	}
	if now.IsZero() { // the path has become instant, and earlier bytes are under way
		now = time.Now()
	}
	for n > 0 {
		size := h.cond.chunk(n)
		n -= size
		at := h.arrival(now, size)
		if last := len(h.segments) - 1; last >= h.first && h.segments[last].at.Equal(at) {
			h.segments[last].size += size
			continue
		}
		if h.first > 64 && h.first > len(h.segments)/2 { // keep the slice from creeping
			h.segments = h.segments[:copy(h.segments, h.segments[h.first:])]
			h.first = 0
		}
		h.segments = append(h.segments, segment{size, at})
	}
	h.readable.Signal() // for a new alarm
}

// arrival returns when something of this size arrives that is sent now: never before what was sent before it.
func (h *half) arrival(now time.Time, size int) time.Time {
	if h.cond.Down {
		return time.Time{}
	}
	if h.lineFree.Before(now) {
		h.lineFree = now
	}
	h.lineFree = h.lineFree.Add(h.cond.sending(size))
	at := h.lineFree.Add(h.cond.transit(h.random()))
	if at.Before(h.lastAt) {
		at = h.lastAt
	}
	h.lastAt = at
	return at
}

func (h *half) random() *rand.Rand {
	if h.rng == nil && h.cond.random() {
		h.rng = rand.New(rand.NewPCG(h.seed[0], h.seed[1]))
	}
	return h.rng
}

// closeWrite ends the stream after the written bytes. Later writes return why.
func (h *half) closeWrite(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.noWrite == nil || why == net.ErrClosed {
		h.noWrite = why
	}
	h.notify(&h.end)
	h.readable.Broadcast()
	h.writable.Broadcast()
}

// closeRead discards the unread bytes. The writer is notified.
func (h *half) closeRead() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noRead = net.ErrClosed
	h.drop()
	h.notify(&h.gone)
	h.readable.Broadcast()
	h.writable.Broadcast()
}

func (h *half) notify(n *notice) {
	if n.sent {
		return
	}
	n.sent = true
	if h.cond.instant() && len(h.segments) == h.first {
		n.at = atOnce
		return
	}
	if n == &h.gone { // it travels the other way, so it passes what is under way
		if h.cond.Down {
			return
		}
		n.at = time.Now().Add(h.cond.transit(h.random()))
		return
	}
	n.at = h.arrival(time.Now(), 0)
}

func (h *half) drop() {
	h.ring, h.start, h.held, h.ready = nil, 0, 0, 0
	h.segments, h.first = nil, 0
}

// reset breaks both ends at once.
func (h *half) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.noRead == nil {
		h.noRead = syscall.ECONNRESET
	}
	if h.noWrite == nil {
		h.noWrite = syscall.ECONNRESET
	}
	h.drop()
	h.readable.Broadcast()
	h.writable.Broadcast()
}

// setConditions applies to what is written from now on. What is under way when a path goes down, or is sent before it
// is up again, arrives one transit after it is up.
func (h *half) setConditions(c Conditions) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.cond
	h.cond = c
	if was.Down == c.Down {
		return
	}
	now := time.Now()
	if c.Down {
		h.arrive(now)
		for i := h.first; i < len(h.segments); i++ {
			h.segments[i].at = time.Time{}
		}
		for _, n := range []*notice{&h.end, &h.gone} {
			if !n.arrived(now) {
				n.at = time.Time{}
			}
		}
	} else {
		h.lastAt = now
		for i := h.first; i < len(h.segments); i++ {
			h.segments[i].at = h.arrival(now, h.segments[i].size)
		}
		for _, n := range []*notice{&h.end, &h.gone} {
			if n.sent && n.at.IsZero() {
				n.at = h.arrival(now, 0)
			}
		}
	}
	h.readable.Broadcast()
	h.writable.Broadcast()
}

func (h *half) setReadDeadline(t time.Time) {
	h.mu.Lock()
	h.readDeadline = t
	h.readable.Broadcast()
	h.mu.Unlock()
}

func (h *half) setWriteDeadline(t time.Time) {
	h.mu.Lock()
	h.writeDeadline = t
	h.writable.Broadcast()
	h.mu.Unlock()
}

// stopAlarms leaves no timer behind.
func (h *half) stopAlarms() {
	h.mu.Lock()
	h.readAlarm.stop()
	h.writeAlarm.stop()
	h.mu.Unlock()
}

// alarm wakes the goroutines that wait on a condition at a set time. The half's lock guards it.
type alarm struct {
	timer *time.Timer
	at    time.Time // zero: not set
}

func (a *alarm) set(h *half, c *sync.Cond, now, at time.Time) {
	if at.IsZero() || at.Equal(a.at) {
		return
	}
	if now.IsZero() {
		now = time.Now()
	}
	a.at = at
	if a.timer != nil {
		a.timer.Reset(at.Sub(now))
		return
	}
	a.timer = time.AfterFunc(at.Sub(now), func() {
		h.mu.Lock()
		a.at = time.Time{}
		c.Broadcast()
		h.mu.Unlock()
	})
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
	a.at = time.Time{}
}

func passed(deadline, now time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }

// earliest of two times, of which zero ones are none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
