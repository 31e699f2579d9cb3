// Package transport moves bytes: it defines how nodes are named and addressed, and what a transport (TCP, in-memory,
// QUIC) must do. A transport knows nothing of peers, handshakes or messages.
//
// Implementations live in transport/tcp, transport/memory and transport/quic; every one of them passes
// the suite in transport/transporttest.
package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"

	ma "github.com/multiformats/go-multiaddr"
)

// Conn is a connection as its transport delivers it, before any handshake. It is one of two kinds:
//
//   - bytes, which still need to be secured and muxed: it implements ByteConn;
//   - already secured and muxed (QUIC): it is a *handshake.SecuredConn, which has streams and the remote's key.
//
// Close may be called at any time, from any goroutine, more than once.
type Conn interface {
	LocalMultiaddr() ma.Multiaddr
	RemoteMultiaddr() ma.Multiaddr
	// RemoteIP returns the remote's IP address, IPv4-mapped ones as IPv4; the zero Addr where it has none (memory,
	// Tor). It does not allocate.
	RemoteIP() netip.Addr
	Close() error
}

// ByteConn is a Conn that carries plain bytes.
type ByteConn interface {
	Conn
	net.Conn
}

// Transport dials and listens. All methods may be called concurrently.
type Transport interface {
	// Name returns the name that configuration uses, such as "tcp".
	Name() string
	// CanDial reports whether addr (without a node id) is of a form that this transport dials.
	CanDial(addr ma.Multiaddr) bool
	// Dial connects to addr (without a node id). A host name in addr is resolved here and nowhere else. Dial
	// returns when ctx ends, with an error that wraps ctx's.
	Dial(ctx context.Context, addr ma.Multiaddr) (Conn, error)
	// Listen starts to listen on addr. Port 0 (or memory address 0) asks for a free one, which Listener.Addr returns.
	// ctx bounds Listen itself, not the life of the Listener. The listener asks admit about every connection; a nil
	// admit admits all of them, with a nil Ticket.
	Listen(ctx context.Context, addr ma.Multiaddr, admit Admit) (Listener, error)
	// Close releases what the transport keeps for later dials, and waits for its goroutines. Connections and listeners
	// that are still open stay open. It may be called more than once.
	Close() error
}

// Admit decides whether a listener lets a connection in. The listener asks once about each connection, before it reads
// from it and before it spends any cryptography on it. An error refuses the connection: the listener closes it and says
// nothing more about it. For some milliseconds it may refuse what comes from the same IP and port without asking again.
//
// The Conn has addresses and Close only; Close ends the connection, also after Accept has returned it. Admit is called
// concurrently, on goroutines of the listener and of Accept. It must not block.
type Admit func(Conn) (Ticket, error)

// Ticket is the place of one admitted connection in the budgets that Admit keeps. The listener releases it if the
// connection ends before Accept returns it; after that it belongs to the caller of Accept.
type Ticket interface{ Release() }

// Listener accepts raw connections. One goroutine calls Accept at a time; Close may come from any other.
type Listener interface {
	// Accept returns the next connection that was admitted, with its ticket. It waits for no remote, so that one slow
	// dialer never holds up the next. An error that wraps ErrListenerClosed is final; any other error is passing, and
	// the caller tries again. Accept returns with an error that wraps ctx's when ctx ends.
	Accept(ctx context.Context) (Conn, Ticket, error)
	// Addr returns where the listener really listens, with the port that it was given.
	Addr() ma.Multiaddr
	// Close stops the listener, ends Accept, and may be called twice. Accepted connections stay open.
	Close() error
}

var (
	// ErrListenerClosed is returned by Accept after Close.
	ErrListenerClosed = errors.New("listener closed")
	// ErrNoTransport is returned where no transport can dial or listen on an address.
	ErrNoTransport = errors.New("no transport for this address")
)
