package secretconn

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
)

// maxEmptyFrames is how many frames without data may come in a row. No one has a reason to send one; a remote that
// sends nothing else would keep us busy without ever handing out a byte.
const maxEmptyFrames = 64

// maxEmptyReads is how often in a row the connection beneath may return nothing and no error.
const maxEmptyReads = 16

// reader is the receiving half of a Conn. One goroutine uses it.
type reader struct {
	conn  net.Conn
	aead  cipher.AEAD
	nonce nonce

	buf        []byte           // small[:] or large[:]
	large      *[largeSize]byte // borrowed from largePool, or nil
	start, end int              // buf[start:end] was received and is not opened yet
	filled     bool             // the last read filled buf to its end, so that more is probably there
	ready      []byte           // opened data, in buf, that is not handed out yet
	empty      int              // frames without data in a row
	err        error            // why nothing more comes, for good

	small [smallSize]byte
}

// next returns the data of the next frame, at least one byte, valid until the next call.
func (r *reader) next() ([]byte, error) {
	for len(r.ready) == 0 {
		switch {
		case r.err != nil:
			r.release() // not before: until now the caller may have used data in it
			return nil, r.err
		case r.end-r.start >= sealedSize:
			r.open()
		default:
			if err := r.fill(); err != nil {
				return nil, err
			}
		}
	}
	data := r.ready
	r.ready = nil
	return data, nil
}

// buffered reports whether next will return without reading from the connection.
func (r *reader) buffered() bool {
	for len(r.ready) == 0 && r.err == nil && r.end-r.start >= sealedSize {
		r.open() // an empty frame leaves us without data, so look at the one behind it
	}
	return len(r.ready) > 0 || r.err != nil
}

// open opens the frame at buf[start:] in place. It sets ready, or err.
func (r *reader) open() {
	frame := r.buf[r.start : r.start+sealedSize]
	if r.nonce.exhausted() {
		r.err = ErrNonceExhausted
		return
	}
	plain, err := r.aead.Open(frame[:0], r.nonce.bytes[:], frame, nil)
	if err != nil {
		r.err = ErrDecrypt
		return
	}
	r.nonce.next()
	r.start += sealedSize
	length := binary.LittleEndian.Uint32(plain)
	switch {
	case length > dataSize:
		r.err = fmt.Errorf("%w: %d", ErrFrameLength, length)
	case length == 0:
		if r.empty++; r.empty > maxEmptyFrames {
			r.err = ErrEmptyFrames
		}
	default:
		r.empty = 0
		r.ready = plain[lengthSize : lengthSize+length]
	}
}

// fill reads once from the connection. It is called when less than a frame is left in buf and ready is used up, so
// there is room and the buffer may change. The large buffer is held only while data comes in faster than the small one
// takes it; a remote that stops within a frame can make us keep one, no more.
func (r *reader) fill() error {
	rest := r.buf[r.start:r.end]
	switch {
	case r.filled && r.large == nil:
		r.large = largePool.Get().(*[largeSize]byte)
		r.buf = r.large[:]
		r.end = copy(r.buf, rest)
	case !r.filled && r.large != nil:
		r.end = copy(r.small[:], rest)
		r.release()
	default:
		r.end = copy(r.buf, rest)
	}
	r.start = 0
	n, err := r.read()
	r.end += n
	r.filled = r.end == len(r.buf)
	if n > 0 {
		return nil // an error that came with data comes again
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err // passing: a later deadline lets the next call go on where this one stopped
	}
	if err == io.EOF && r.end > 0 {
		err = io.ErrUnexpectedEOF
	}
	r.err = err
	r.release()
	return err
}

// read reads at least one byte into buf[end:], or returns an error.
func (r *reader) read() (n int, err error) {
	for range maxEmptyReads {
		if n, err = r.conn.Read(r.buf[r.end:]); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// release gives the large buffer back, if there is one, and goes on in the small one. Nothing in the large one is
// needed any more.
func (r *reader) release() {
	if r.large == nil {
		return
	}
	largePool.Put(r.large)
	r.large = nil
	r.buf = r.small[:]
}

// nonce counts the frames of one direction: 4 zero bytes, then the count.
type nonce struct {
	count uint64
	bytes [12]byte
}

// exhausted reports whether no nonce is left that was not used. The last one is not used, so that count never wraps
// round.
func (n *nonce) exhausted() bool { return n.count == math.MaxUint64 }

func (n *nonce) next() {
	n.count++
	binary.LittleEndian.PutUint64(n.bytes[4:], n.count)
}
