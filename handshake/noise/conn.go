package noise

import (
	"net"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// Conn is a secured connection. Its methods may be called concurrently.
type Conn struct {
	conn   net.Conn
	remote handshake.PublicKey
	muxer  string
	writer writer
	reader reader // its small buffer keeps what both directions change apart
}

var _ handshake.SecureConn = (*Conn)(nil)

func newConn(conn net.Conn) *Conn {
	c := &Conn{conn: conn}
	c.writer.conn, c.reader.conn = conn, conn
	c.reader.buf = c.reader.small[:]
	return c
}

// RemotePublicKey returns the key that the remote has proven.
func (c *Conn) RemotePublicKey() handshake.PublicKey { return c.remote }

// Muxer returns the stream muxer that both ends chose in the handshake; "" when they have none in common, or the remote
// does not tell.
func (c *Conn) Muxer() string { return c.muxer }

// Read implements net.Conn. io.EOF says that the remote hung up between messages, io.ErrUnexpectedEOF within one. After
// os.ErrDeadlineExceeded it may be called again, with a later deadline; every other error is final. A longer p saves
// copies: with MaxPlaintext bytes every message is opened into it.
func (c *Conn) Read(p []byte) (int, error) { return c.reader.read(p) }

// Write implements net.Conn. A write becomes a message, or several if it is longer than MaxPlaintext, and is sent
// before Write returns. Every error is final, os.ErrDeadlineExceeded too.
func (c *Conn) Write(p []byte) (int, error) { return c.writer.write(p) }

// WriteParts returns a Write of several parts, sent together, each of which begins a message of its own. A remote of
// this package that reads a part with a buffer that takes it all has it without a copy.
func (c *Conn) WriteParts(parts ...[]byte) (int, error) { return c.writer.write(parts...) }

// Close closes the connection beneath, which ends blocked calls.
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
