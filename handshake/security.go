package handshake

import (
	"context"
	"net"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Security secures a connection of plain bytes, for a wire that lets nodes choose among several (libp2p: noise, tls).
// Methods may be called concurrently.
type Security interface {
	// Name returns the name that configuration uses, such as "noise".
	Name() string
	// Protocol returns the name under which it is offered, such as "/noise" or "/tls/1.0.0".
	Protocol() string
	// Secure does the handshake on conn. The caller sets the deadline of conn and closes it when ctx ends, or when an
	// error is returned. An error of CheckKey comes back wrapped, or as it is.
	Secure(ctx context.Context, conn net.Conn, s Securing) (SecureConn, error)
	// Keep makes what Secure shows of id and id must sign (a static key, a certificate), and makes it anew before it
	// is too old, until ctx ends. A node runs it, so that no handshake waits for a signature, and none fails because
	// id cannot sign for a while. Without Keep, Secure asks id itself. A Security that shows nothing of that kind
	// returns at once.
	Keep(ctx context.Context, id Identity)
}

// Securing is what a Security needs to know of one connection.
type Securing struct {
	Side     muxer.Side
	Identity Identity
	// Want is the node id that must be at the other end; "" accepts any.
	Want transport.NodeID
	// Muxers are the stream muxers that we offer for early negotiation, in our order of preference, such as
	// "/yamux/1.0.0".
	Muxers []string
	// CheckKey, if set, is called once the remote's key is proven, before anything is sent that depends on it where the
	// protocol allows.
	CheckKey func(PublicKey) error
}

// SecureConn is a secured connection. Like any net.Conn its methods may be called concurrently.
type SecureConn interface {
	net.Conn
	// Muxer returns the stream muxer that was agreed on together with the security; "" when it is still to be
	// negotiated.
	Muxer() string
}
