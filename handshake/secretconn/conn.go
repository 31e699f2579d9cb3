package secretconn

import (
	"net"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// Conn is a secured connection, made by Handshake. Next, Buffered and Read are for one goroutine, Write and Flush for
// one (which may be another); the other methods are for anyone.
type Conn struct {
	// Binding begins the challenge, which both ends have derived from the key exchange and signed. Handshake sets it.
	Binding [handshake.BindingSize]byte

	conn   net.Conn
	remote handshake.PublicKey
	writer writer
	reader reader // its small buffer keeps what both goroutines change apart
}

func newConn(conn net.Conn) *Conn {
	c := &Conn{conn: conn}
	c.writer.conn, c.reader.conn = conn, conn
	c.reader.buf = c.reader.small[:]
	return c
}

// RemotePublicKey returns the key that the remote has proven.
func (c *Conn) RemotePublicKey() handshake.PublicKey { return c.remote }

// Next returns the next bytes of the stream, at least one, where they were decrypted; they are valid until the next
// call of Next or Read. It waits if there are none. io.EOF means that the remote hung up between frames,
// io.ErrUnexpectedEOF within one. After os.ErrDeadlineExceeded it may be called again, with a later deadline; every
// other error is final.
func (c *Conn) Next() ([]byte, error) { return c.reader.next() }

// Buffered reports whether Next will return at once, with data or with an error.
func (c *Conn) Buffered() bool { return c.reader.buffered() }

// Read reads from the stream as io.Reader does.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	data, err := c.reader.next()
	if err != nil {
		return 0, err
	}
	n := copy(p, data)
	c.reader.ready = data[n:]
	return n, nil
}

// Write takes over a copy of p and sends it when about 64 KiB have gathered, or at Flush. After os.ErrDeadlineExceeded
// the n bytes that were taken stay pending, and the caller may go on with the rest under a later deadline; every other
// error is final.
func (c *Conn) Write(p []byte) (n int, err error) { return c.writer.write(p) }

// Flush sends what is pending with one write. Errors are as with Write.
func (c *Conn) Flush() error { return c.writer.flush() }

// Close closes the connection beneath, which ends blocked calls. What is pending is lost: call Flush first.
func (c *Conn) Close() error { return c.conn.Close() }

// LocalAddr returns our end of the connection beneath.
func (c *Conn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr returns the remote's end of the connection beneath.
func (c *Conn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// SetDeadline is net.Conn's.
func (c *Conn) SetDeadline(t time.Time) error { return c.conn.SetDeadline(t) }

// SetReadDeadline is net.Conn's.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// SetWriteDeadline is net.Conn's.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.conn.SetWriteDeadline(t) }
