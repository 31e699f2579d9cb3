package tls

import (
	"encoding/binary"
	"net"
	"sync"
)

const (
	// flightSize is what most flights of a handshake fit into.
	flightSize = 2 << 10
	// maxFlights bounds what a remote sends in all flights of a handshake, as quic-go does: crypto/tls alone would take
	// 256 KiB of certificates and parse each before we can say that we want one. With the longest RSA keys it is 7 KiB.
	maxFlights = 16 << 10
	// recordHeader is the length of a record's header (RFC 8446, section 5.1).
	recordHeader = 5
)

var flightPool = sync.Pool{New: func() any { return new([flightSize]byte) }}

// flight reads a handshake: with one system call all that has arrived. It passes one record at a time to crypto/tls,
// which keeps its buffer for the life of the connection: so the buffer need not hold more. The goroutine that reads
// owns it.
type flight struct {
	over     bool              // the handshake is complete: nothing is read ahead any more
	buf      *[flightSize]byte // borrowed while something is held, or while a read waits
	from, to int
	rest     int   // bytes of the current record that crypto/tls has not got; 0: a new one begins
	total    int   // bytes that came
	err      error // behind what is held
}

// read reads from conn for crypto/tls.
func (f *flight) read(conn net.Conn, p []byte) (int, error) {
	if f.buf == nil {
		if f.err != nil {
			return 0, f.err
		}
		if f.over {
			return conn.Read(p)
		}
		f.buf = flightPool.Get().(*[flightSize]byte)
	}
	for !f.complete() && !f.over && f.err == nil {
		if f.from > 0 {
			f.to = copy(f.buf[:], f.buf[f.from:f.to])
			f.from = 0
		}
		var n int
		n, f.err = conn.Read(f.buf[f.to:])
		f.to += n
		if f.total += n; f.total > maxFlights {
			f.to, f.err = f.from, ErrTooLong
		}
	}
	n := f.to - f.from
	if f.rest > 0 {
		n = min(n, f.rest)
	}
	n = copy(p, f.buf[f.from:f.from+n])
	f.from += n
	f.rest = max(f.rest-n, 0)
	if f.from == f.to {
		flightPool.Put(f.buf)
		f.buf, f.from, f.to = nil, 0, 0
	}
	if n == 0 {
		return 0, f.err
	}
	return n, nil
}

// complete reports whether crypto/tls can go on with the held bytes: they are a whole record (or its rest), a part of
// one too long to hold, or no record at all.
func (f *flight) complete() bool {
	held := f.buf[f.from:f.to]
	if f.rest == 0 && len(held) >= recordHeader {
		f.rest = recordHeader + int(binary.BigEndian.Uint16(held[3:]))
		if kind := held[0]; kind < 20 || kind > 23 || held[1] != 3 {
			f.rest = len(held) // not TLS: crypto/tls finds out at once
		}
	}
	return len(held) > 0 && f.rest > 0 && (len(held) >= f.rest || f.rest > flightSize)
}
