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

// write sends p as one message, or as several when it is long. Any error is final, a missed deadline too: some of a message may be on its way.
func (w *writer) write(p []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || len(p) == 0 {
		return 0, w.err
	}
	if len(p) <= shortSize-lengthSize-tagSize {
		buf := shortPool.Get().(*[shortSize]byte)
		defer shortPool.Put(buf)
		return w.send(buf[:], p)
	}
	buf := sendPool.Get().(*[sendSize]byte)
	defer sendPool.Put(buf)
	for n < len(p) {
		k, err := w.send(buf[:], p[n:])
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// send seals as much of p as buf takes into it, and sends that with one write. It returns how much it was.
func (w *writer) send(buf, p []byte) (n int, err error) {
	end := 0
	for n < len(p) && len(buf)-end > lengthSize+tagSize {
		k := min(len(p)-n, MaxPlaintext, len(buf)-end-lengthSize-tagSize)
		binary.BigEndian.PutUint16(buf[end:], uint16(k+tagSize))
		end += lengthSize
		sealed, err := w.cipher.seal(buf[end:end], p[n:n+k], nil)
		if err != nil {
			w.err = err
			return 0, err
		}
		end += len(sealed)
		n += k
	}
	if _, err := w.conn.Write(buf[:end]); err != nil {
		w.err = err
		return 0, err
	}
	return n, nil
}
