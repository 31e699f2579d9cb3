// Package handshake turns raw connections into links. It holds the contracts of that stage (Wire, Identity, Link, NodeInfo,
// Gate) and the Upgrader, which does once for all wires what they share: one deadline, the budgets, the sniffing of the
// first byte, the checkpoints. The wires themselves are plug-ins: handshake/comet, handshake/libp2p.
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
	// Name is the name that configuration uses: "comet" or "libp2p".
	Name() string
	// Recognizes says whether dialers of this wire begin with prefix (at least one byte).
	Recognizes(prefix []byte) bool
	// CanDial says whether the address asks for this wire, or leaves it open.
	CanDial(transport.Address) bool
	// Upgrade does the handshake on a.Conn. It calls a.CheckKey once the remote's key is proven and a.CheckInfo once its node
	// info is known, and stops with their error when they refuse. It returns when ctx ends, which carries the deadline over all stages;
	// the Upgrader closes the connection then, so a blocked read or write ends too. On an error the Upgrader closes the connection.
	// Errors are *StageError (CodeUnknown lets the Upgrader find the code of an error of the connection) or *Refusal.
	Upgrade(ctx context.Context, a *Attempt) (*Link, error)
}

// SecuredWire is a Wire that also takes connections which their transport has already secured and muxed (they are a
// muxer.Session, such as QUIC's).
type SecuredWire interface {
	Wire
	// TakesSecured says whether Upgrade can work on this connection.
	TakesSecured(transport.Conn) bool
}

// Identity signs for the node. The key may live in another process, so its methods take a context.
type Identity interface {
	PublicKey(ctx context.Context) (PublicKey, error)
	// Sign signs msg itself (ed25519, not a digest).
	Sign(ctx context.Context, msg []byte) ([]byte, error)
}

// Attempt is one handshake in progress. The Upgrader makes it; a Wire reads it.
type Attempt struct {
	Conn transport.Conn
	Side muxer.Side
	// Dialed is the address that we dialed; the zero Address on the listening side.
	Dialed transport.Address
	// Want is the node id that must be at the other end; "" accepts any.
	Want transport.NodeID
	// Local is our node info for this connection.
	Local NodeInfo
	// Channels are those that the session shall carry.
	Channels []muxer.Channel

	u      *Upgrader
	slot   *Slot // nil when we dialed
	stages []Stage
	last   time.Time // when the stage before ended
	stage  string    // the one that we are in
	key    PublicKey // that CheckKey was given, and its id
	id     transport.NodeID
}

// Stage is how long one stage of a handshake took. Names: "transport", "security", "muxer", "info".
type Stage struct {
	Name string
	Took time.Duration
}

// Link is a connection that has been through the handshake. Its Session is idle until someone runs it.
type Link struct {
	Session muxer.Session
	// Wire, Transport, Security and Muxer name the plug-ins that made the link, such as "comet", "tcp", "secretconn", "mconn".
	Wire, Transport, Security, Muxer string

	Side      muxer.Side
	RemoteKey PublicKey
	Remote    NodeInfo          // what the remote says of itself; its ID is proven
	Dialed    transport.Address // zero on the listening side

	LocalAddr, RemoteAddr ma.Multiaddr
	// Acked says that both ends have told each other that they accept the link. Without it (comet has no room for such a message) the
	// remote may still refuse silently, so the host waits for the first message or a short grace before it reports the peer.
	Acked  bool
	Stages []Stage
}

// ID is the remote's proven node id.
func (l *Link) ID() transport.NodeID { return l.Remote.ID }

// Names of the stages of a connection, as Stage and StageError use them.
const (
	StageTransport = "transport"
	StageSecurity  = "security"
	StageMuxer     = "muxer"
	StageInfo      = "info"
)
