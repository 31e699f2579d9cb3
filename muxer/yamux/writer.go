package yamux

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

const (
	// waitSize bounds the short frames that wait for others to go with, in bytes.
	waitSize = 8 << 10
	// leastBuffer is the smallest buffer that muxer.NewBuffer takes out of its pools.
	leastBuffer = 512
	// patience is how long a frame that may wait does so.
	patience = 50 * time.Millisecond
)

// writer writes frames: those of streams and go-yamux's own. A goroutine puts frames behind those that wait, and one
// at a time, which has the turn, writes all that waits. A stream has the turn before it puts its data, so that little
// waits; short frames are put at any time, and go with the others.
type writer struct {
	conn    net.Conn
	timeout time.Duration // how long a write may take
	failed  func(error)   // called once, when the connection takes no more
	sent    atomic.Uint64
	rtt     atomic.Int64  // the smoothed round trip of our pings, in nanoseconds; 0 before the first
	turn    chan struct{} // holds a value while a goroutine has the turn

	mu       sync.Mutex     // guards what follows
	next     []byte         // the frames that wait
	ping     bool           // one of our pings is among them
	pinged   time.Time      // when the last one was written; zero: it was answered
	late     *time.Timer    // writes the frames that may wait
	lates    sync.WaitGroup // holds 1 while late runs
	deadline time.Time      // that the connection has
	final    bool           // it is not moved any more
	lost     bool           // the connection takes no more: frames are discarded
}

// put puts a frame behind those that wait, and returns how many bytes wait. It does not write them.
func (w *writer) put(kind, flags byte, id uint32, length int, body []byte) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if need := len(w.next) + headerSize + len(body); need > cap(w.next) {
		old := w.next
		w.next = append(muxer.NewBuffer(max(need, leastBuffer))[:0], old...)
		muxer.FreeBuffer(old)
	}
	w.next = append(w.next, 0, kind, 0, flags)
	w.next = binary.BigEndian.AppendUint32(w.next, id)
	w.next = binary.BigEndian.AppendUint32(w.next, uint32(length))
	w.next = append(w.next, body...)
	w.ping = w.ping || kind == typePing && flags == flagSYN
	return len(w.next)
}

// write writes all that waits, and gives the turn back.
func (w *writer) write() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.next) > 0 {
		buf, now := w.next, time.Now()
		w.next = nil
		if w.ping {
			w.ping, w.pinged = false, now
		}
		if !w.final && w.deadline.Sub(now) < w.timeout/2 { // not each time: it is slow
			w.deadline = now.Add(w.timeout)
			_ = w.conn.SetWriteDeadline(w.deadline) // an error is that of a dead connection: the write has it, too
		}
		if !w.lost {
			w.mu.Unlock()
			n, err := w.conn.Write(buf)
			w.sent.Add(uint64(n))
			if err != nil {
				w.failed(err)
			}
			w.mu.Lock()
			w.lost = err != nil
		}
		muxer.FreeBuffer(buf)
	}
	<-w.turn // with mu held: what is put from now on finds the turn free
}

// drain waits for the turn and writes what waits.
func (w *writer) drain() {
	w.turn <- struct{}{}
	w.write()
}

// flush writes what waits, unless another goroutine has the turn: then that one does.
func (w *writer) flush() {
	select {
	case w.turn <- struct{}{}:
		w.write()
	default:
	}
}

// later writes what waits after a while, if nothing else has until then.
func (w *writer) later() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.late == nil {
		w.lates.Add(1)
		w.late = time.AfterFunc(patience, func() {
			defer w.lates.Done()
			w.flush()
		})
	} else if !w.late.Reset(patience) {
		w.lates.Add(1)
	}
}

// limit lets the writes from now on, and one that is under way, take no longer than within.
func (w *writer) limit(within time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.final = true
	_ = w.conn.SetWriteDeadline(time.Now().Add(within))
}

// answered notes that a ping was answered.
func (w *writer) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pinged.IsZero() {
		return
	}
	rtt := int64(time.Since(w.pinged))
	if before := w.rtt.Load(); before > 0 {
		rtt = (before + rtt) / 2
	}
	w.rtt.Store(rtt)
	w.pinged = time.Time{}
}

// close waits for the writer's own goroutine. Nothing more waits then: the connection is closed.
func (w *writer) close() {
	w.mu.Lock()
	if w.late != nil && w.late.Stop() {
		w.lates.Done()
	}
	w.mu.Unlock()
	w.lates.Wait()
}
