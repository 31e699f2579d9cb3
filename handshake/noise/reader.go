package noise

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// maxEmptyMessages is how many messages without data may come in a row. No one has a reason to send one; a remote that
// sends nothing else would keep us busy without ever handing out a byte.
const maxEmptyMessages = 64

// maxEmptyReads is how often in a row the connection beneath may return nothing and no error.
const maxEmptyReads = 16

// reader is the receiving half of a Conn.
type reader struct {
	conn net.Conn

	mu         sync.Mutex
	cipher     cipherState
	buf        []byte           // small[:], short[:] or large[:]
	short      *[shortSize]byte // borrowed from shortPool, or nil
	large      *[largeSize]byte // borrowed from largePool, or nil
	start, end int              // buf[start:end] was received and is not opened yet
	filled     bool             // the last read filled buf to its end, so that more is probably there
	long       bool             // the last message was longer than the small buffer
	ready      []byte           // opened data, in buf, that is not handed out yet
	empty      int              // messages without data in a row
	err        error            // why nothing more comes, for good

	small [smallSize]byte
}

// Read implements net.Conn. io.EOF says that the remote hung up between messages, io.ErrUnexpectedEOF within one. After
// os.ErrDeadlineExceeded it may be called again, with a later deadline; every other error is final. A message that fits
// into p is opened into it, others where they were received: with MaxPlaintext bytes, nothing is copied.
func (c *Conn) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	r := &c.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		switch {
		case len(r.ready) > 0:
			n = copy(p, r.ready)
			r.ready = r.ready[n:]
			return n, nil
		case r.err != nil:
			return 0, r.fail(r.err)
		}
		length, whole := r.message()
		if !whole {
			if err := r.fill(lengthSize + length); err != nil {
				return 0, err
			}
			continue
		}
		sealed := r.buf[r.start+lengthSize:][:length:length]
		direct := length >= tagSize && length-tagSize <= len(p)
		dst := sealed[:0]
		if direct {
			dst = p[:0]
		}
		plain, err := r.cipher.open(dst, sealed, nil)
		if err != nil {
			return 0, r.fail(err)
		}
		r.start += lengthSize + length
		r.long = lengthSize+length > smallSize
		if len(plain) == 0 {
			if r.empty++; r.empty > maxEmptyMessages {
				return 0, r.fail(ErrEmptyMessages)
			}
			continue
		}
		r.empty = 0
		if direct {
			return len(plain), nil
		}
		r.ready = plain
	}
}

// message returns the length of the message at buf[start:] without its prefix, 0 if even that is not there yet, and
// whether all of it is.
func (r *reader) message() (length int, whole bool) {
	got := r.buf[r.start:r.end]
	if len(got) < lengthSize {
		return 0, false
	}
	length = int(binary.BigEndian.Uint16(got))
	return length, len(got)-lengthSize >= length
}

// fill reads once from the connection. It is called when less than a message, of need bytes in all, is left in buf and
// ready is used up, so the buffer may change. A larger one than the small one is held only while messages are longer
// than that takes, or data comes in faster; a remote that stops within a message can make us keep one, no more.
func (r *reader) fill(need int) error {
	size := smallSize
	switch {
	case need > shortSize, r.filled && r.short != nil, r.filled && r.large != nil:
		size = largeSize
	case need > smallSize, r.filled, r.long:
		size = shortSize
	}
	r.resize(size)
	return r.receive()
}

// resize goes on in the smallest buffer of at least that size, which takes what is left in the one before.
func (r *reader) resize(least int) {
	rest := r.buf[r.start:r.end]
	short, large := r.short, r.large
	switch {
	case least <= smallSize:
		r.buf, r.short, r.large = r.small[:], nil, nil
	case least <= shortSize:
		if short == nil {
			r.short = shortPool.Get().(*[shortSize]byte)
		}
		r.buf, r.large = r.short[:], nil
	default:
		if large == nil {
			r.large = largePool.Get().(*[largeSize]byte)
		}
		r.buf, r.short = r.large[:], nil
	}
	r.start, r.end = 0, copy(r.buf, rest)
	r.filled = r.end == len(r.buf)
	if short != nil && r.short == nil {
		shortPool.Put(short)
	}
	if large != nil && r.large == nil {
		largePool.Put(large)
	}
}

// receive reads once from the connection to buf[end:], where there is room.
func (r *reader) receive() error {
	var n int
	var err error
	for tries := 0; n == 0 && err == nil; tries++ {
		if tries == maxEmptyReads {
			err = io.ErrNoProgress
			break
		}
		n, err = r.conn.Read(r.buf[r.end:])
	}
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
	return r.fail(err)
}

// handshakeMessage reads a message of the handshake, valid until the next read. One that is too long is refused at its
// length.
func (r *reader) handshakeMessage() ([]byte, error) {
	for {
		length, whole := r.message()
		switch {
		case length > maxHandshakeMessage:
			return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrOversized, length, maxHandshakeMessage)
		case whole:
			msg := r.buf[r.start+lengthSize:][:length:length]
			r.start += lengthSize + length
			return msg, nil
		case r.start == 0 && r.end == len(r.buf):
			// rare: of long RSA keys. A buffer of our own that grows with what comes, so that silent remotes hold
			// little
			size := min(lengthSize+length, 2*len(r.buf))
			r.buf = append(make([]byte, 0, size), r.buf...)[:size]
		default:
			copy(r.buf, r.buf[r.start:r.end])
		}
		r.start, r.end = 0, r.end-r.start
		if err := r.receive(); errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("the remote hung up: %w", err)
		} else if err != nil {
			return nil, err
		}
	}
}

// fail ends receiving for good. Nothing in the buffer is needed any more.
func (r *reader) fail(err error) error {
	r.err = err
	r.start, r.end = 0, 0
	r.resize(smallSize)
	return err
}
