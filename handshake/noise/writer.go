package noise

import (
	"encoding/binary"
	"net"
	"sync"
)

// writer is the sending half of a Conn.
type writer struct {
	conn net.Conn

	mu     sync.Mutex
	cipher cipherState
	err    error // why nothing more can be sent, for good
}

// Write implements net.Conn. A write becomes a message, or several if it is longer than MaxPlaintext, and is sent
// before Write returns. Every error is final, a missed deadline too: some of a message may be on its way.
func (c *Conn) Write(p []byte) (n int, err error) {
	const extra = lengthSize + tagSize
	w := &c.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	var buf []byte
	if extra+len(p) <= shortSize {
		short := shortPool.Get().(*[shortSize]byte)
		defer shortPool.Put(short)
		buf = short[:]
	} else {
		long := sendPool.Get().(*[sendSize]byte)
		defer sendPool.Put(long)
		buf = long[:]
	}
	for n < len(p) && w.err == nil {
		end, sealed := 0, n // of buf, and of p
		for room := len(buf); sealed < len(p) && room > extra; room = len(buf) - end {
			k := min(len(p)-sealed, MaxPlaintext, room-extra)
			binary.BigEndian.PutUint16(buf[end:], uint16(k+tagSize))
			end += lengthSize
			if _, w.err = w.cipher.seal(buf[end:end], p[sealed:sealed+k], nil); w.err != nil {
				return n, w.err
			}
			end += k + tagSize
			sealed += k
		}
		if _, w.err = w.conn.Write(buf[:end]); w.err == nil {
			n = sealed
		}
	}
	return n, w.err
}
