package mconn

import (
	"errors"
	"io"
	"net"
	"sync"
)

// Conn is the connection that a session runs over: handshake/secretconn's, or Plain.
//
// One goroutine calls Next and Buffered, one other calls Write and Flush, anyone calls Close, which ends a call of any
// of them.
type Conn interface {
	// Next returns the next received bytes, at least one, valid until the next call. io.EOF is a clean end.
	Next() ([]byte, error)
	// Buffered reports whether Next has more without waiting for the network.
	Buffered() bool
	// Write takes p over by copying it; it writes to the network only when its own buffer is full.
	Write(p []byte) (int, error)
	// Flush sends what Write has taken.
	Flush() error
	Close() error
}

const (
	plainBuffer = 64 << 10
	plainIdle   = 1 << 10 // what an idle plain connection reads into
)

var plainBuffers = sync.Pool{New: func() any { return new([plainBuffer]byte) }}

// plain is a Conn without encryption. An idle one holds only a small buffer: large ones are borrowed while bytes flow.
type plain struct {
	conn  net.Conn
	small [plainIdle]byte

	in    *[plainBuffer]byte // the reader's
	eager bool               // the last read filled its buffer: more is likely waiting

	out  *[plainBuffer]byte // the writer's
	used int
}

// Plain makes a Conn of a connection that needs no encryption: a link in memory, or in a test.
func Plain(conn net.Conn) Conn { return &plain{conn: conn} }

func (p *plain) Next() ([]byte, error) {
	buf := p.small[:]
	if p.eager {
		if p.in == nil {
			p.in = plainBuffers.Get().(*[plainBuffer]byte)
		}
		buf = p.in[:]
	} else if p.in != nil {
		plainBuffers.Put(p.in)
		p.in = nil
	}
	for range 100 {
		n, err := p.conn.Read(buf)
		if n > 0 {
			p.eager = n >= plainIdle
			return buf[:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, io.ErrNoProgress
}

func (p *plain) Buffered() bool { return false } // Next has returned all that was read

func (p *plain) Write(b []byte) (int, error) {
	total := len(b)
	for len(b) > 0 {
		if p.out == nil {
			p.out = plainBuffers.Get().(*[plainBuffer]byte)
		}
		n := copy(p.out[p.used:], b)
		b, p.used = b[n:], p.used+n
		if p.used == plainBuffer {
			if err := p.Flush(); err != nil {
				return total - len(b), err
			}
		}
	}
	return total, nil
}

func (p *plain) Flush() error {
	if p.out == nil {
		return nil
	}
	n, err := p.conn.Write(p.out[:p.used])
	if err == nil && n < p.used {
		err = io.ErrShortWrite
	}
	plainBuffers.Put(p.out)
	p.out, p.used = nil, 0
	return err
}

func (p *plain) Close() error {
	err := p.conn.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
