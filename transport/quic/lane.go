package quic

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	lib "github.com/quic-go/quic-go"
)

const (
	// laneSize is how much of a lane's output waits at most, beside as much that is being written.
	laneSize = 64 << 10
	// backlogLimit is how much waits for the whole connection when the writer of lanes waits, too, so that it chooses
	// late which lane goes next. It is less than a lane has room for, so that no lane is left out of the choice.
	backlogLimit = 32 << 10
	// directSize is the size up to which a write is given to quic-go at once, without the lane's goroutine, and
	// directSum how much of that in a row: quic-go copies what it holds of such writes again for each.
	directSize = 1200
	directSum  = 8 << 10
	// stallTime is how long a lane makes no progress, at least, until it does not count in the backlog.
	stallTime = 5 * time.Millisecond
)

var laneBuffers = sync.Pool{New: func() any { return new([laneSize]byte) }}

// A lane is the writing half of a stream whose NotifyWritable was called. quic-go does not tell how much a stream
// takes, so what is written waits here, for a goroutine that lives while there is something. What waits counts in the
// connection's backlog, unless the lane is stalled: the remote does not take it, and it must not hold up the others.
type lane struct {
	s      *stream
	notify func()

	mu      sync.Mutex // guards what follows
	next    *[laneSize]byte
	nextN   int
	queued  int  // bytes that wait, or are being written
	direct  int  // bytes given to quic-go at once since the goroutine was here
	running bool // the goroutine
	stalled bool
	used    bool  // something was written
	ending  bool  // the end follows what is queued
	err     error // why nothing more is written
}

// writable returns how much write takes. After an error it is something, so that the caller learns of that.
func (l *lane) writable() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err != nil || l.ending:
		return laneSize
	case l.stalled:
		return 0
	}
	return laneSize - l.nextN
}

// write queues p, of at most writable bytes, or gives it to quic-go.
func (l *lane) write(p []byte) (int, error) {
	l.s.conn.awaitRoom()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err != nil:
		return 0, l.s.explain(l.err)
	case l.ending:
		return 0, net.ErrClosed
	case l.nextN+len(p) > laneSize:
		return 0, errors.New("quic: more is written than the stream takes")
	}
	l.used = true
	if !l.running && len(p) <= directSize && l.direct+len(p) <= directSum {
		err := l.s.quic.TryWriteAll(p) // it does not wait
		switch {
		case err == nil:
			l.direct += len(p)
			return len(p), nil
		case !errors.Is(err, lib.ErrWouldBlock):
			l.err = err
			return 0, l.s.explain(err)
		}
	}
	if l.next == nil {
		l.next = laneBuffers.Get().(*[laneSize]byte)
	}
	l.nextN += copy(l.next[l.nextN:], p)
	l.count(len(p))
	if !l.running {
		if !l.s.conn.spawn(l.run) {
			l.end(net.ErrClosed)
			return 0, l.s.explain(l.err)
		}
		l.running = true
	}
	return len(p), nil
}

// run writes what is queued.
func (l *lane) run() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.nextN > 0 && l.err == nil {
		buf, n := l.next, l.nextN
		l.next, l.nextN = nil, 0
		for p := buf[:n]; len(p) > 0 && l.err == nil; {
			p = p[l.writeSome(p):]
		}
		laneBuffers.Put(buf)
	}
	l.running, l.direct = false, 0
	if l.err != nil {
		l.end(l.err)
	} else if l.ending {
		_ = l.s.quic.Close()
	}
}

// writeSome writes a part of p, and notes a stall. mu is held, but for the write.
func (l *lane) writeSome(p []byte) int {
	var by time.Time
	if !l.stalled {
		by = time.Now().Add(max(stallTime, 2*l.s.conn.quic.ConnectionStats().SmoothedRTT))
	}
	l.mu.Unlock()
	_ = l.s.quic.SetWriteDeadline(by)
	n, err := l.s.quic.Write(p)
	l.mu.Lock()
	if n > 0 {
		l.stall(false)
		l.count(-n)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.stall(n == 0)
	case err != nil:
		l.err = err
	}
	l.mu.Unlock()
	l.notify()
	l.mu.Lock()
	return n
}

// count counts n bytes more as queued. mu is held.
func (l *lane) count(n int) {
	l.queued += n
	if !l.stalled {
		l.s.conn.count(n)
	}
}

// stall notes whether the remote takes what is queued. mu is held.
func (l *lane) stall(stalled bool) {
	if l.stalled == stalled {
		return
	}
	n := l.queued
	l.count(-n)
	l.stalled = stalled
	l.count(n)
}

// end notes why nothing more is written, and drops what is queued. The goroutine does not run. mu is held.
func (l *lane) end(err error) {
	l.err = err
	if l.next != nil {
		laneBuffers.Put(l.next)
		l.next, l.nextN = nil, 0
	}
	l.count(-l.queued)
}

// finish ends our side behind what is queued.
func (l *lane) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending || l.err != nil {
		return
	}
	l.ending = true
	if !l.running {
		_ = l.s.quic.Close()
	}
}
