// Package handshake turns raw connections into links. It holds the contracts of that stage (Wire, Identity, Link,
// NodeInfo, Gate) and the Upgrader, which does once for all wires what they share: one deadline, the budgets, the
// sniffing of the first byte, the checkpoints. The wires themselves are plug-ins: handshake/comet, handshake/libp2p.
package handshake

import (
	"context"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Wire turns a raw connection into a Link the way one family of nodes does. Methods may be called concurrently.
type Wire interface {
	// Name returns the name that configuration uses: "comet" or "libp2p".
	Name() string
	// Recognizes reports whether dialers of this wire begin with prefix. An empty prefix stands for a connection that
	// its transport has already secured and muxed: Recognizes reports whether the wire takes such.
	Recognizes(prefix []byte) bool
	// CanDial reports whether the address asks for this wire, or leaves it open.
	CanDial(transport.Address) bool
	// Upgrade does the handshake on a.Bytes, or on a.Secured. It calls a.CheckKey once the remote's key is proven and
	// a.CheckInfo once its node info is known, and stops with their error when they refuse. It returns when ctx ends,
	// which carries the deadline over all stages; the Upgrader closes the connection then, so a blocked read or write
	// ends too. On an error the Upgrader closes the connection. Errors are *StageError (CodeUnknown lets the Upgrader
	// find the code of an error of the connection) or *Refusal.
	Upgrade(ctx context.Context, a *Attempt) (*Link, error)
}

// SecuredConn is a connection that its transport has already secured and muxed (QUIC). It is what such a transport
// dials and accepts. Closing it closes all streams too.
type SecuredConn struct {
	transport.Conn
	Streams   muxer.Streams
	RemoteKey PublicKey
	// Security and Muxer are the names of both in configuration and output, such as "tls" and "quic".
	Security, Muxer string
}

// Identity signs for the node. The key may live in another process, so its methods take a context. They may be called
// concurrently.
type Identity interface {
	PublicKey(ctx context.Context) (PublicKey, error)
	// Sign signs msg itself (ed25519, not a digest). It refuses a message that fails p.Check.
	Sign(ctx context.Context, p Purpose, msg []byte) ([]byte, error)
}

// Attempt is one handshake in progress. The Upgrader makes it; a Wire reads it.
type Attempt struct {
	Conn transport.Conn // what Bytes or Secured is
	// Exactly one of these is set: a connection of bytes, or one that is already secured and muxed.
	Bytes   *PeekConn
	Secured *SecuredConn

	Side muxer.Side
	// Dialed is the address that we dialed; the zero Address on the listening side.
	Dialed transport.Address
	// Want is the node id that must be at the other end; "" accepts any.
	Want transport.NodeID
	// RemoteKey is the key that the remote has proven, and RemoteID its node id; CheckKey sets both.
	RemoteKey PublicKey
	RemoteID  transport.NodeID
	// Local is our node info for this connection.
	Local NodeInfo
	// Channels are the channels that the session is to carry.
	Channels []muxer.Channel

	u      *Upgrader
	ticket *ticket // nil when we dialed
	stages []Stage
	last   time.Time // when the stage before ended
	stage  string    // the one that we are in
	wire   string    // its name
}

// Stage is how long one stage of a handshake took. Names: "transport", "security", "muxer", "info".
type Stage struct {
	Name string
	Took time.Duration
}

// Link is a connection that has been through the handshake. Its Session is idle until someone runs it.
type Link struct {
	Session muxer.Session
	// Wire, Transport, Security and Muxer name the plug-ins that made the link, such as "comet", "tcp", "secretconn",
	// "mconn".
	Wire, Transport, Security, Muxer string

	Side      muxer.Side
	RemoteKey PublicKey
	Remote    NodeInfo          // what the remote says of itself; its ID is proven
	Dialed    transport.Address // zero on the listening side

	LocalAddr, RemoteAddr ma.Multiaddr
	// Binding names the connection to both ends, which have derived it from the key exchange; zero where the wire has
	// none (libp2p).
	Binding [BindingSize]byte
	// Confirm ends the handshake on wires and between nodes that have room for it; nil elsewhere (comet, guests). It
	// tells the remote whether we take the link (nil) or why not, and returns the remote's answer: nil if both take it,
	// a *Refusal with Remote set if the remote does not, another error if the link broke first. The host calls it once,
	// after its own decision and before Session.Run; it returns when ctx ends. Given a refusal, it tells the remote and
	// returns without waiting long. Where Confirm is nil the remote may still refuse silently, so the host waits for
	// its first packet, or a short grace, before it reports the peer.
	Confirm func(ctx context.Context, refusal *Refusal) error
	// Push, on wires that can (libp2p), tells the remote what our node info says from now on of Listen and Protocols;
	// nil elsewhere. It may be called at any time, and returns when the remote has taken the message, or ctx ends. A
	// remote that takes no pushes is an error that wraps muxer.ErrUnknownProtocol.
	Push func(ctx context.Context, local NodeInfo) error
	// Changes, on the same wires, sets the function that is called when the remote changes its Listen or Protocols: f
	// gets Remote with what is new. Call it once. f is called by one goroutine at a time, also within Changes when
	// something has changed before; it must not block, and there is a bound on how often it is called.
	Changes func(f func(NodeInfo))
	// Goodbye, between nodes that can, tells the remote why we are about to close the session, whole, where the close
	// itself carries a code or less; nil elsewhere. It returns when the remote has read it, when ctx ends, or after a
	// moment. Farewell returns what the remote has told so; nil for nothing.
	Goodbye  func(ctx context.Context, reason *Refusal)
	Farewell func() *Refusal
	Stages   []Stage
	// Began is when the handshake began: what we have told of ourselves in it is not older.
	Began time.Time
}

// BindingSize is the length of a Link.Binding.
const BindingSize = 16

// WithReplaces makes the handshake of a dial tell the remote which of our links, by its Binding, the new one is to
// replace: see NodeInfo.Replaces.
func WithReplaces(ctx context.Context, binding [BindingSize]byte) context.Context {
	return context.WithValue(ctx, replacesKey{}, binding[:])
}

type replacesKey struct{}

// ID returns the remote's proven node id.
func (l *Link) ID() transport.NodeID { return l.Remote.ID }

// Names of the stages of a connection, as Stage and StageError use them.
const (
	StageTransport = "transport"
	StageSecurity  = "security"
	StageMuxer     = "muxer"
	StageInfo      = "info"
)
