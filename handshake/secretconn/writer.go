package secretconn

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
)

// writer is the sending half of a Conn. One goroutine uses it.
type writer struct {
	conn  net.Conn
	aead  cipher.AEAD
	nonce nonce

	buf     *[sendSize]byte // borrowed from sendPool while something is pending, or nil
	sent    int             // buf[:sent] is written
	sealed  int             // buf[:sealed] are sealed frames
	pending int             // bytes of data in the frame at buf[sealed:], which is not sealed yet; below dataSize
	err     error           // why nothing more can be sent, for good
}

// write gathers p into frames. A frame is sealed as soon as it is full, while it is still in the cache.
func (w *writer) write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if w.err != nil {
			return n, w.err
		}
		if w.buf == nil {
			w.buf = sendPool.Get().(*[sendSize]byte)
		}
		if w.sealed == sendSize {
			if err := w.send(); err != nil {
				return n, err
			}
		}
		data := w.buf[w.sealed+lengthSize : w.sealed+plainSize]
		k := copy(data[w.pending:], p)
		p = p[k:]
		n += k
		w.pending += k
		if w.pending == dataSize {
			if err := w.seal(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// flush seals the frame that is not full and writes everything that is pending.
func (w *writer) flush() error {
	if w.err != nil || w.buf == nil {
		return w.err
	}
	if w.pending > 0 {
		if err := w.seal(); err != nil {
			return err
		}
	}
	if err := w.send(); err != nil {
		return err
	}
	w.release()
	return nil
}

// seal seals the frame at buf[sealed:] in place.
func (w *writer) seal() error {
	if w.nonce.exhausted() {
		return w.fail(ErrNonceExhausted)
	}
	frame := w.buf[w.sealed : w.sealed+sealedSize : w.sealed+sealedSize]
	plain := frame[:plainSize]
	binary.LittleEndian.PutUint32(plain, uint32(w.pending))
	clear(plain[lengthSize+w.pending:]) // or we would send what the buffer held before
	w.aead.Seal(plain[:0], w.nonce.bytes[:], plain, nil)
	w.nonce.next()
	w.sealed += sealedSize
	w.pending = 0
	return nil
}

// send writes the sealed frames. After a deadline it may be called again and goes on where it stopped.
func (w *writer) send() error {
	if w.sent < w.sealed {
		n, err := w.conn.Write(w.buf[w.sent:w.sealed])
		w.sent += n
		if err == nil && w.sent < w.sealed {
			err = io.ErrShortWrite
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err != nil {
			return w.fail(err)
		}
	}
	w.sent, w.sealed = 0, 0
	return nil
}

// fail ends sending for good.
func (w *writer) fail(err error) error {
	w.err = err
	w.release()
	return err
}

func (w *writer) release() {
	sendPool.Put(w.buf)
	w.buf = nil
	w.sent, w.sealed, w.pending = 0, 0, 0
}
