// Package transport moves bytes: it says how nodes are named and addressed, and what a transport
// (TCP, in-memory, QUIC) must do. A transport knows nothing of peers, handshakes or messages.
//
// Implementations live in transport/tcp, transport/memory and transport/quic; every one of them passes
// the suite in transport/transporttest.
package transport

import (
	"context"
	"errors"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Conn is a connection as its transport delivers it, before any handshake. It is one of two kinds:
//
//   - bytes, which still need to be secured and muxed: then it also implements ByteConn;
//   - already secured and muxed (QUIC): then it also implements handshake.SecuredConn, which has streams and the remote's key.
//
// Close may be called at any time, from any goroutine, more than once.
type Conn interface {
	LocalMultiaddr() ma.Multiaddr
	RemoteMultiaddr() ma.Multiaddr
	Close() error
}

// ByteConn is a Conn that carries plain bytes.
type ByteConn = manet.Conn

// PromptConn is implemented by a ByteConn that can also be written without waiting.
type PromptConn interface {
	// WriteNow takes all of p, or nothing, and waits for neither the remote nor another write. What it takes is sent at once, as far as there is room, and the rest as soon
	// as there is some, ahead of what is written later; WriteNow takes nothing more meanwhile. An error is that of the next Write. true for an empty p says that the next
	// WriteNow will be taken, as long as nobody else writes.
	WriteNow(p []byte) bool
}

// Transport dials and listens. All methods may be called concurrently. A Transport owns no goroutine that
// outlives its connections and listeners, unless it is an io.Closer: then it may keep what later dials can
// use, and Close, which whoever uses it calls once all those are closed, lets go of that.
type Transport interface {
	// Name is the name that configuration uses, such as "tcp".
	Name() string
	// CanDial says whether addr (without a node id) is of a form that this transport dials.
	CanDial(addr ma.Multiaddr) bool
	// Dial connects to addr (without a node id). A host name in addr is resolved here and nowhere else. Dial
	// returns when ctx ends, with an error that wraps ctx's.
	Dial(ctx context.Context, addr ma.Multiaddr) (Conn, error)
	// Listen starts to listen on addr. Port 0 (or memory address 0) asks for a free one; Listener.Addr tells it.
	// ctx bounds Listen itself, not the life of the Listener.
	Listen(ctx context.Context, addr ma.Multiaddr) (Listener, error)
}

// Listener accepts raw connections. One goroutine calls Accept at a time; Close may come from any other.
type Listener interface {
	// Accept returns the next raw connection at once: it does no handshake, so that one slow dialer never holds
	// up the next. An error that wraps ErrListenerClosed is final; any other error is passing, and the caller
	// tries again. Accept returns with an error that wraps ctx's when ctx ends.
	Accept(ctx context.Context) (Conn, error)
	// Addr is where the listener really listens, with the port that it was given.
	Addr() ma.Multiaddr
	// Close stops the listener, ends Accept, and may be called twice. Accepted connections stay open.
	Close() error
}

// SecuringListener is a Listener whose connections are secured before Accept returns them (QUIC), so that the budgets must be asked earlier.
type SecuringListener interface {
	Listener
	// Guard sets who is asked about each new connection before any cryptography is done for it. Call it once, before the first Accept. guard
	// gets a Conn that has addresses and Close only; its error refuses the connection. The Pass is released by the listener when the connection fails
	// before Accept returns it; after that it belongs to who got the connection, which is a PassHolder. guard does not block, and is called concurrently.
	Guard(guard func(Conn) (Pass, error))
}

// Pass is a place in the budgets of connections that are being secured.
type Pass interface{ Release() }

// PassHolder is a Conn of a SecuringListener.
type PassHolder interface {
	// Pass is what Guard's function returned for this connection.
	Pass() Pass
}

var (
	// ErrListenerClosed is returned by Accept after Close.
	ErrListenerClosed = errors.New("listener closed")
	// ErrNoTransport is returned where no transport can dial or listen on an address.
	ErrNoTransport = errors.New("no transport for this address")
)
