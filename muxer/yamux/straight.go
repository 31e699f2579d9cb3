package yamux

import (
	"encoding/binary"
	"io"
	"sync"
)

// shortFrame is the longest body that is read for whoever watches its stream.
const shortFrame = 2 << 10

var shortPool = sync.Pool{New: func() any { return new([shortFrame]byte) }}

// passBy reads the body of a short frame, of a stream that is watched and has nothing else to be read, and lets whoever watches it read that at once (ReadNow). Through
// go-yamux it would be copied twice more, under half a dozen of locks. What is not read is passed on to go-yamux. The reader's goroutine.
func (c *conn) passBy() error {
	t, n := c.arriving, c.arrivingN
	c.arriving, c.straight, c.body = nil, false, 0
	buf := shortPool.Get().(*[shortFrame]byte)
	got, err := io.ReadFull(c.Conn, buf[:n])
	c.received.Add(uint64(got))
	if err != nil {
		shortPool.Put(buf)
		return cutShort(err)
	}
	c.mu.Lock()
	if !t.dropped {
		t.readable = n
		c.hold(n)
		t.passing = buf[:n]
	}
	watch := t.watch
	c.mu.Unlock()
	watch()
	c.mu.Lock()
	left := t.passing
	t.passing = nil
	c.mu.Unlock()
	if len(left) == 0 {
		shortPool.Put(buf)
		return nil
	}
	c.left, c.leftIn, c.body = left, buf, len(left)
	binary.BigEndian.PutUint32(c.head[8:], uint32(len(left)))
	return nil
}

// takeLeft gives go-yamux what nobody has read of such a body.
func (c *conn) takeLeft(p []byte) int {
	n := copy(p, c.left)
	c.left = c.left[n:]
	if c.body -= n; c.body == 0 {
		shortPool.Put(c.leftIn)
		c.leftIn = nil
	}
	return n
}
