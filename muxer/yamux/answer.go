package yamux

import "time"

const (
	// shortAnswer is the longest write that may pass go-yamux by.
	shortAnswer = 2 << 10
	// mostUnconfessed is how many bytes go-yamux is not told of at most.
	mostUnconfessed = 16 << 10
)

// nothing is what go-yamux is told of in place of what was written.
var nothing [mostUnconfessed]byte

// answers are the short writes of a stream that pass go-yamux by: the first behind something that the remote has said, which is likely to be an answer, or the next
// question. Through go-yamux each would wait for a goroutine that copies it from another; of writes in a row the others do, so that they are gathered.
//
// As go-yamux keeps the window within which we may send, it is told of such bytes before it has to know, by a write of as many others, which goes no further than
// to conn.Write. The connection's mutex guards it.
type answers struct {
	heard       bool  // something has arrived since the last one
	settled     bool  // go-yamux's first frame of the stream was written: that it begins, or is taken
	gone        bool  // the stream is to be forgotten when nothing is to be dropped any more
	unconfessed int   // bytes of which go-yamux does not know
	queued      int64 // bytes that go-yamux was given for the stream
	come        int64 // of them, those that have come to conn.Write
	passed      int64 // and been written, or dropped there
	from, till  int64 // which of them are to be dropped
}

// answer writes p past go-yamux, if that can be done at once and nothing of the stream can be overtaken. s.writing is held.
func (s *stream) answer(p []byte) bool {
	c, t := s.conn, s.traffic
	if len(p) == 0 || len(p) > shortAnswer || c.out.prompt == nil || s.over.Load() {
		return false
	}
	if by := s.writeBy.Load(); by != 0 && time.Now().UnixNano() >= by {
		return false
	}
	c.mu.Lock()
	ok := t.heard && t.settled && t.queued == t.passed && t.unconfessed+len(p) <= mostUnconfessed
	t.heard = false
	if ok {
		t.unconfessed += len(p)
	}
	c.mu.Unlock()
	if ok && !c.writeNow(t, nil, p) {
		c.mu.Lock()
		t.unconfessed -= len(p)
		c.mu.Unlock()
		return false
	}
	return ok
}

// confess tells go-yamux of what has passed it by. It may wait for its queue, as a write does. s.writing is held.
func (s *stream) confess() error {
	c, t := s.conn, s.traffic
	c.mu.Lock()
	n := t.unconfessed
	if n > 0 {
		t.from, t.till = t.queued, t.queued+int64(n)
	}
	c.mu.Unlock()
	if n == 0 {
		return nil
	}
	took, err := s.lib.Write(nothing[:n])
	c.mu.Lock()
	t.queued += int64(took)
	t.till = t.queued
	t.unconfessed -= took
	c.mu.Unlock()
	return err
}

// isConfession takes note that a frame of go-yamux with n bytes has come, and says whether it is to be dropped. The mutex is held.
func (t *traffic) isConfession(c *conn, n int) bool {
	at := t.come
	t.come += int64(n)
	if at < t.from || at >= t.till {
		return false
	}
	t.passed += int64(n)
	if t.gone {
		c.forget(t)
	}
	return true
}
