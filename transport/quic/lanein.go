package quic

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

const (
	// laneInSize is how much of a lane's input is taken out of quic-go at once.
	laneInSize = 64 << 10
	// shortSize is how much an idle lane has room for without borrowing memory.
	shortSize = 128
)

var laneChunks = sync.Pool{New: func() any { return new([laneInSize]byte) }}

// laneIn is the reading half of a lane. quic-go does not tell when a stream has input, so one goroutine waits for it, and holds memory only while there is
// some, but for a little: what is short is read there as it comes. It takes bytes out of quic-go as soon as those before are read, so quic-go's window is what limits the remote.
type laneIn struct {
	s    *stream
	done chan struct{} // closed when nothing more comes

	mu       sync.Mutex
	room     sync.Cond // all is read, or the connection has ended
	some     sync.Cond // there is something to read, or an end
	chunk    *[laneInSize]byte
	short    [shortSize]byte
	inShort  bool  // what is to be read is there, and not in chunk
	from, to int   // what is to be read
	filling  bool  // run reads into chunk, behind to
	err      error // what comes behind it
	reset    bool
	isCut    bool // the connection has ended
	timer    *time.Timer
	late     bool // the deadline has passed
	over     bool // run has ended: no deadline counts any more
}

func newLaneIn(s *stream) *laneIn {
	l := &laneIn{s: s, done: make(chan struct{})}
	l.room.L, l.some.L = &l.mu, &l.mu
	return l
}

// run is the goroutine.
func (l *laneIn) run() {
	short := true // as what came last was
	for {
		var n int
		var err error
		if short && l.isRead() {
			n, err = l.s.quic.Read(l.short[:])
			l.took(n)
		} else {
			var one [1]byte
			if _, err = l.s.quic.Peek(one[:]); err == nil { // waits, and holds nothing
				n, err = l.fill()
			}
		}
		if err != nil {
			l.end(err)
			return
		}
		short = n < shortSize
		l.s.changed()
	}
}

// isRead says that nothing is to be read: then short is run's own.
func (l *laneIn) isRead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.from == l.to
}

// took takes note of n bytes in short.
func (l *laneIn) took(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inShort, l.from, l.to = true, 0, n
	l.some.Broadcast()
}

// fill reads what there is, once there is room for it.
func (l *laneIn) fill() (int, error) {
	l.mu.Lock()
	for l.to == laneInSize && !l.isCut {
		l.room.Wait()
	}
	if l.isCut {
		l.mu.Unlock()
		return 0, net.ErrClosed
	}
	if l.chunk == nil {
		l.chunk = laneChunks.Get().(*[laneInSize]byte)
	}
	if l.inShort {
		l.from, l.to = 0, copy(l.chunk[:], l.short[l.from:l.to])
		l.inShort = false
	}
	l.filling = true
	chunk, at := l.chunk, l.to
	l.mu.Unlock()
	n, err := l.s.quic.Read(chunk[at:])
	l.mu.Lock()
	l.filling = false
	l.to = at + n
	l.tidy()
	l.some.Broadcast()
	l.mu.Unlock()
	return n, err
}

// tidy begins anew with the chunk when all of it is read, or gives it back. mu is held.
func (l *laneIn) tidy() {
	if l.from < l.to || l.filling {
		return
	}
	if l.from, l.to = 0, 0; l.chunk != nil {
		laneChunks.Put(l.chunk)
		l.chunk = nil
	}
	l.room.Signal()
}

// end takes note that nothing more comes.
func (l *laneIn) end(err error) {
	if errors.Is(err, io.EOF) {
		var one [1]byte
		_, _ = l.s.quic.Read(one[:]) // Peek does not make quic-go forget the stream
	}
	err = explainStream(err)
	l.mu.Lock()
	if l.err == nil {
		var ce *muxer.CloseError
		l.reset = err != io.EOF && l.s.conn.quic.Context().Err() == nil && (errors.As(err, &ce) || errors.Is(err, net.ErrClosed))
		l.err = err
	}
	l.over = true
	l.stopTimer()
	l.some.Broadcast()
	l.mu.Unlock()
	close(l.done)
	l.s.tidy()
	l.s.changed()
}

// cut ends the lane with the connection. What it holds can still be read.
func (l *laneIn) cut() {
	l.mu.Lock()
	l.isCut = true
	if l.err == nil {
		l.err = l.s.conn.why()
	}
	l.room.Signal()
	l.some.Broadcast()
	l.mu.Unlock()
}

// read waits for something to read.
func (l *laneIn) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.late:
			return 0, os.ErrDeadlineExceeded
		case l.from < l.to:
			return l.take(p), nil
		case l.err != nil:
			return 0, l.err
		}
		l.some.Wait()
	}
}

// readNow reads what there is.
func (l *laneIn) readNow(p []byte) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.late {
		return 0
	}
	return l.take(p)
}

// take is called with mu held.
func (l *laneIn) take(p []byte) int {
	if l.from == l.to {
		return 0
	}
	from := l.short[:]
	if !l.inShort {
		from = l.chunk[:]
	}
	n := copy(p, from[l.from:l.to])
	l.from += n
	l.tidy()
	return n
}

func (l *laneIn) ready(r *muxer.Ready) {
	l.mu.Lock()
	r.Readable = l.to - l.from
	r.Reset = l.reset
	r.Ended = l.reset || l.err == io.EOF
	l.mu.Unlock()
}

func (l *laneIn) setDeadline(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopTimer()
	l.late = !t.IsZero() && !time.Now().Before(t)
	if !t.IsZero() && !l.late && !l.over {
		var timer *time.Timer
		timer = time.AfterFunc(time.Until(t), func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.timer == timer {
				l.late = true
				l.some.Broadcast()
			}
		})
		l.timer = timer
	}
	l.some.Broadcast()
}

// stopTimer is called with mu held.
func (l *laneIn) stopTimer() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

func (l *laneIn) isReset() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reset
}
