package noise

import (
	"net"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// Conn is a secured connection over another one, which Close closes and whose deadlines it has. Its methods may be
// called concurrently.
type Conn struct {
	net.Conn
	remote handshake.PublicKey
	muxer  string
	writer writer
	reader reader // its small buffer keeps what both directions change apart
}

var _ handshake.SecureConn = (*Conn)(nil)

func newConn(conn net.Conn) *Conn {
	c := &Conn{Conn: conn}
	c.writer.conn, c.reader.conn = conn, conn
	c.reader.buf = c.reader.small[:]
	return c
}

// RemotePublicKey returns the key that the remote has proven.
func (c *Conn) RemotePublicKey() handshake.PublicKey { return c.remote }

// Muxer returns the stream muxer that both ends chose in the handshake; "" when they have none in common, or the remote
// does not tell.
func (c *Conn) Muxer() string { return c.muxer }
