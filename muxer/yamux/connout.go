package yamux

import (
	"encoding/binary"
	"errors"
	"os"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Write implements net.Conn for go-yamux, which writes one frame at a time.
func (c *conn) Write(frame []byte) (int, error) {
	if len(frame) < headerSize {
		return 0, errors.New("yamux: a frame without a header")
	}
	kind, flags, id := frame[1], binary.BigEndian.Uint16(frame[2:]), binary.BigEndian.Uint32(frame[4:])
	if kind == typeWindow { // windows are ours
		if flags == 0 {
			c.said(id)
			return len(frame), nil
		}
		clear(frame[8:headerSize]) // go-yamux has made the frame for this one call
	}
	refused := false
	var begins, passes *traffic
	if kind == typeData || kind == typeWindow {
		c.mu.Lock()
		if flags&flagSYN != 0 {
			begins = c.of(id) // before the answer can come
		}
		passes = c.streams[id]
		if kind == typeData && passes != nil && passes.isConfession(c, len(frame)-headerSize) {
			c.mu.Unlock()
			return len(frame), nil
		}
		if t := passes; t != nil && flags&(flagFIN|flagRST) != 0 {
			t.finOut = t.finOut || flags&flagFIN != 0
			if flags&flagRST != 0 {
				t.reset = true
				c.drop(t)
			}
			if refused = t.reset && t.fresh; refused { // go-yamux has not taken it
				c.known(t)
			}
			c.tidy(t)
		}
		c.mu.Unlock()
	}
	if !c.lost.Load() {
		if err := c.out.write(frame, begins); err != nil {
			c.lose(err)
		}
	}
	if passes != nil {
		c.mu.Lock()
		if kind == typeData {
			passes.passed += int64(len(frame) - headerSize)
		}
		passes.settled = true
		c.mu.Unlock()
	}
	if refused {
		c.drained()
	}
	return len(frame), nil
}

// writeNow writes a frame of head and body, if that can be done without waiting.
func (c *conn) writeNow(t *traffic, head, body []byte) bool {
	n := int64(len(head) + len(body))
	if n > int64(c.muxer.cfg.MaxFrame) {
		return false
	}
	c.mu.Lock()
	ok := !t.reset && !t.finOut && t.window >= n && !c.over
	if ok {
		t.window -= n
	}
	c.mu.Unlock()
	if !ok || c.lost.Load() {
		return false
	}
	if c.out.now(t, head, body) {
		return true
	}
	c.mu.Lock()
	t.window += n
	c.mu.Unlock()
	return false
}

// writeReady writes p as frames of the stream. A connection that takes no more is no error, as for go-yamux.
func (c *conn) writeReady(t *traffic, p []byte) error {
	for len(p) > 0 {
		n := min(len(p), c.muxer.cfg.MaxFrame)
		c.mu.Lock()
		reset := t.reset
		t.window -= int64(n)
		t.pace(c)
		c.mu.Unlock()
		switch {
		case reset:
			return errReset
		case c.lost.Load():
			return nil
		}
		if err := c.out.data(t, p[:n]); err != nil {
			c.lose(err)
		}
		p = p[n:]
	}
	return nil
}

// SetWriteDeadline implements net.Conn for go-yamux: the writer sets its own.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// lose takes note that the connection takes no more. go-yamux does not hear of it: it would throw away what the remote has said before it hung up. The
// reader goes on for a moment.
func (c *conn) lose(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost.Swap(true) {
		return
	}
	select {
	case <-c.release:
		return
	default:
	}
	c.cause = connError(err)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.cause = &muxer.CloseError{Code: muxer.CodeTimeout, Reason: "the remote takes nothing", Err: err}
	}
	c.late = time.AfterFunc(lastWords, func() { _ = c.Conn.Close() })
}

// goAway tells the remote why we end the connection. A remote that takes nothing holds us up for no longer than within.
func (c *conn) goAway(code muxer.Code, within time.Duration) {
	length := uint32(0)
	if code != muxer.CodeUnknown {
		length = codeBase | uint32(code)
	}
	frame := make([]byte, headerSize)
	frame[1] = typeGoAway
	binary.BigEndian.PutUint32(frame[8:], length)
	_ = c.out.last(frame, within) // the connection ends in any case
}
