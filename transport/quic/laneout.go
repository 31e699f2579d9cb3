package quic

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/quic-go/quic-go"
)

const (
	// laneOutSize is how much of a lane's output waits at most. It is more than backlogLimit, so that the choice of who
	// writes the lanes counts, and not quic-go's turns among streams.
	laneOutSize = 256 << 10
	// backlogLimit is how much output of all lanes waits when WriteReady waits.
	backlogLimit = 128 << 10
	// laneOutChunk is the size of the pieces in which it is kept and written.
	laneOutChunk = 64 << 10
	// directSize is up to what size a write is given to quic-go at once, without the lane's goroutine, and directSum how much of that in a row: quic-go copies
	// what it holds of such writes again and again while it cannot send it.
	directSize = 1200
	directSum  = 8 << 10
	// stallLook is from which backlog on lanes are looked at that make no progress; stallTime the shortest time between two looks.
	stallLook = 32 << 10
	stallTime = 10 * time.Millisecond
)

// laneOut is the writing half of a lane. quic-go does not tell how much a stream takes, so what is written waits here, and is written by a goroutine that
// lives while there is something.
//
// What waits counts in the connection's backlog, unless the remote does not take it: a lane that makes no progress between two looks is stalled, and does not
// hold up the others.
type laneOut struct {
	s        *stream
	notify   func()
	limit    func(int) int // counts progress
	progress atomic.Uint64

	mu      sync.Mutex
	idle    sync.Cond // nothing waits
	chunks  []laneChunk
	queued  int
	direct  int  // bytes given to quic-go at once since the goroutine was here
	running bool // the goroutine
	stalled bool // what is queued does not count in the backlog
	seen    uint64
	ending  bool // the end follows what is queued
	closed  bool // the end is sent
	err     error
}

var laneChunks = sync.Pool{New: func() any { return new([laneOutChunk]byte) }}

type laneChunk struct {
	mem *[laneOutChunk]byte
	n   int
}

func newLaneOut(s *stream, notify func()) *laneOut {
	l := &laneOut{s: s, notify: notify}
	l.idle.L = &l.mu
	l.limit = func(n int) int { // called by quic-go for each packet
		l.progress.Add(1)
		return n
	}
	return l
}

// writable implements Writable.
func (l *laneOut) writable() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil || l.ending || l.stalled {
		return 0
	}
	return max(laneOutSize-l.queued, 0)
}

// take implements WriteReady.
func (l *laneOut) take(p []byte) error {
	l.mu.Lock()
	if err := l.failed(); err != nil {
		l.mu.Unlock()
		return err
	}
	if !l.running && len(p) <= directSize && l.direct+len(p) <= directSum {
		err := l.s.quic.TryWriteAll(p) // it does not wait, and calls nobody back
		if err == nil {
			l.direct += len(p)
			l.mu.Unlock()
			return nil
		}
		if !errors.Is(err, lib.ErrWouldBlock) {
			l.err = err
			l.mu.Unlock()
			return l.explained(err)
		}
	}
	l.queue(p)
	start := !l.running
	l.running = true
	l.mu.Unlock()
	if start && !l.s.conn.spawn(&l.s.conn.wg, l.run) {
		l.cut()
		return l.s.conn.why()
	}
	if l.s.conn.backlog.Load() >= stallLook {
		l.s.conn.lookForStalls()
	}
	return nil
}

// queue keeps a copy of p. mu is held.
func (l *laneOut) queue(p []byte) {
	l.queued += len(p)
	if !l.stalled {
		l.s.conn.backlog.Add(int64(len(p)))
	}
	for len(p) > 0 {
		if k := len(l.chunks); k == 0 || l.chunks[k-1].n == laneOutChunk || k == 1 && l.running {
			l.chunks = append(l.chunks, laneChunk{mem: laneChunks.Get().(*[laneOutChunk]byte)})
		}
		last := &l.chunks[len(l.chunks)-1]
		n := copy(last.mem[last.n:], p)
		last.n += n
		p = p[n:]
	}
}

// run is the goroutine: it writes what is queued. The first chunk is its own while it is written.
func (l *laneOut) run() {
	l.mu.Lock()
	for len(l.chunks) > 0 && l.err == nil {
		first := l.chunks[0]
		l.mu.Unlock()
		_, err := l.s.quic.WriteWithLimit(first.mem[:first.n], l.limit)
		l.mu.Lock()
		l.direct = 0
		l.chunks = l.chunks[1:]
		l.count(first.n)
		laneChunks.Put(first.mem)
		if err != nil && l.err == nil {
			l.err = err
		}
		l.mu.Unlock()
		l.notify()
		l.s.conn.drained()
		l.mu.Lock()
	}
	if l.err != nil {
		l.drop()
	}
	l.chunks = nil
	l.running = false
	if l.ending && !l.closed {
		l.closed = true
		_ = l.s.closeWrite()
	}
	l.idle.Broadcast()
	over := l.closed || l.err != nil
	l.mu.Unlock()
	if over {
		l.s.forget()
		l.notify()
	}
}

// count takes n bytes off what is queued. The lane has made progress. mu is held.
func (l *laneOut) count(n int) {
	back := &l.s.conn.backlog
	if l.stalled {
		l.stalled = false
		back.Add(int64(l.queued))
	}
	l.queued -= n
	back.Add(-int64(n))
}

// drop throws away what is queued. mu is held, and nobody writes the first chunk.
func (l *laneOut) drop() {
	for _, c := range l.chunks {
		laneChunks.Put(c.mem)
	}
	l.chunks = nil
	l.count(l.queued)
}

// failed is why nothing can be written. mu is held.
func (l *laneOut) failed() error {
	switch {
	case l.err != nil:
		return l.explained(l.err)
	case l.ending:
		return net.ErrClosed
	}
	return nil
}

func (l *laneOut) explained(err error) error {
	if why := l.s.conn.why(); why != nil {
		return why
	}
	return explainStream(err)
}

// write implements Write, behind what is queued.
func (l *laneOut) write(p []byte) (int, error) {
	l.mu.Lock()
	for l.running {
		l.idle.Wait()
	}
	err := l.failed()
	l.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := l.s.quic.Write(p)
	return n, explainStream(err)
}

// finish ends our side behind what is queued.
func (l *laneOut) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil || l.ending {
		return
	}
	l.ending = true
	if !l.running {
		l.closed = true
		_ = l.s.closeWrite()
	}
}

// cut ends the lane with the connection.
func (l *laneOut) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = net.ErrClosed
	}
	if !l.running {
		l.drop()
	}
	l.idle.Broadcast()
}

// lookForStalls looks at the lanes now and then while there is much backlog.
func (c *Conn) lookForStalls() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stalled || c.closed || c.ended != nil {
		return
	}
	c.stalled = true
	every := max(stallTime, c.quic.ConnectionStats().SmoothedRTT)
	c.wg.Add(1) // until look has run, or Close has stopped the timer
	if c.stalls == nil {
		c.stalls = time.AfterFunc(every, c.look)
	} else {
		c.stalls.Reset(every)
	}
}

// look finds the lanes that have made no progress since the last look.
func (c *Conn) look() {
	defer c.wg.Done()
	c.mu.Lock()
	c.stalled = false
	lanes := make([]*stream, 0, len(c.lanes))
	for s := range c.lanes {
		lanes = append(lanes, s)
	}
	c.mu.Unlock()
	found := false
	for _, s := range lanes {
		found = s.out.Load().stall() || found
	}
	if found {
		c.drained()
	}
	if c.backlog.Load() >= stallLook {
		c.lookForStalls()
	}
}

// stall notes whether the lane has made progress. It says true if it has just become stalled.
func (l *laneOut) stall() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.progress.Load()
	stuck := l.running && !l.stalled && l.seen == at && l.queued > 0
	if l.seen = at; stuck {
		l.stalled = true
		l.s.conn.backlog.Add(-int64(l.queued))
	}
	return stuck
}
