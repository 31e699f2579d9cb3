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

// write sends the parts together: each as one message, or as several when it is long. Any error is final, a missed
// deadline too: some of a message may be on its way.
func (w *writer) write(parts ...[]byte) (n int, err error) {
	size := 0
	for _, p := range parts {
		size += len(p) + lengthSize + tagSize
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	if size <= shortSize {
		buf := shortPool.Get().(*[shortSize]byte)
		defer shortPool.Put(buf)
		return w.send(buf[:], parts)
	}
	buf := sendPool.Get().(*[sendSize]byte)
	defer sendPool.Put(buf)
	return w.send(buf[:], parts)
}

// send seals the parts into buf, and writes that whenever it is full.
func (w *writer) send(buf []byte, parts [][]byte) (n int, err error) {
	end, sealed := 0, 0 // of buf, and how many bytes of the parts that is
	for _, p := range parts {
		for len(p) > 0 {
			room := len(buf) - end - lengthSize - tagSize
			if room <= 0 {
				if _, w.err = w.conn.Write(buf[:end]); w.err != nil {
					return n, w.err
				}
				n, end, sealed = n+sealed, 0, 0
				continue
			}
			k := min(len(p), MaxPlaintext, room)
			binary.BigEndian.PutUint16(buf[end:], uint16(k+tagSize))
			out, err := w.cipher.seal(buf[end+lengthSize:end+lengthSize], p[:k], nil)
			if err != nil {
				w.err = err
				return n, err
			}
			end += lengthSize + len(out)
			sealed += k
			p = p[k:]
		}
	}
	if end > 0 {
		if _, w.err = w.conn.Write(buf[:end]); w.err != nil {
			return n, w.err
		}
	}
	return n + sealed, nil
}
