// Package comet is the wire of CometBFT and Tendermint nodes (0.34 to 1.x): a secured byte connection
// (SecretConnection), an exchange of node infos, and then MConnection's packets. Its addresses are
// /ip4/1.2.3.4/tcp/26656/mconn/<40 hex>, or CometBFT's own id@host:port.
//
// Our node info travels in the same flight as the proof of our key, one round trip earlier than CometBFT sends its own;
// CometBFT finds it in its buffer. The protocol has no message that accepts or refuses the link: a refusal shows as a
// connection that ends at once.
//
// The package does not know its security and muxer: Config has both, so that tests can replace them.
//
// Facts: p2p/transport.go and p2p/node_info.go of CometBFT v0.40.0.
package comet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// firstByte is how every dialer begins: the length of its ephemeral key message.
const firstByte = 0x22

// Secured is a connection that is secured, and not muxed yet.
type Secured struct {
	io.Reader // reads the remote's node info; what is not read stays for the session
	// Binding is for handshake.Link.
	Binding [handshake.BindingSize]byte
	// Mux makes the session, which owns the connection from then on, and carries the given channels.
	Mux func(muxer.Side, []muxer.Channel) (muxer.Session, error)
}

// Config is what the wire is built from. Identity and Secure are required.
type Config struct {
	Identity handshake.Identity
	// Secure secures a connection. It sends early right after the proof of our key, and calls check once the remote's
	// key is proven; check's error ends the handshake and comes back wrapped or as it is. The Upgrader sets the
	// deadline of conn, and closes it when ctx ends.
	Secure func(ctx context.Context, conn net.Conn, id handshake.Identity, early []byte,
		check func(handshake.PublicKey) error) (Secured, error)
	// Resolver finds the IP of our own advertised host name: a CometBFT node refuses a name that it cannot resolve. nil
	// means the system's.
	Resolver transport.Resolver
}

// Wire is the comet wire, a handshake.Wire.
type Wire struct {
	cfg   Config
	names names
}

// New checks cfg.
func New(cfg Config) (*Wire, error) {
	if cfg.Identity == nil || cfg.Secure == nil {
		return nil, errors.New("comet: Identity and Secure are required")
	}
	cfg.Identity = ownIdentity{cfg.Identity}
	return &Wire{cfg: cfg, names: names{resolver: cfg.Resolver}}, nil
}

// Name implements handshake.Wire.
func (*Wire) Name() string { return transport.WireComet }

// Recognizes implements handshake.Wire. The wire takes connections of bytes only.
func (*Wire) Recognizes(prefix []byte) bool { return len(prefix) > 0 && prefix[0] == firstByte }

// CanDial implements handshake.Wire: the address names a comet node, or leaves the wire open.
func (*Wire) CanDial(addr transport.Address) bool {
	return addr.Wire() == transport.WireComet || addr.Wire() == ""
}

// Upgrade implements handshake.Wire.
func (w *Wire) Upgrade(ctx context.Context, a *handshake.Attempt) (*handshake.Link, error) {
	early, err := w.ownInfo(ctx, a)
	if err != nil {
		return nil, handshake.Fail(handshake.StageInfo, muxer.CodeInvalidInfo, fmt.Errorf("our own %w", err))
	}
	secured, err := w.cfg.Secure(ctx, a.Bytes, w.cfg.Identity, early, a.CheckKey)
	if err != nil {
		return nil, handshake.Fail(handshake.StageSecurity, codeOr(err, muxer.CodeAuthFailed), err)
	}
	a.Done(handshake.StageSecurity)
	a.Done(handshake.StageMuxer) // there is nothing to agree on: it is always MConnection

	info, err := readInfo(secured)
	if err != nil {
		return nil, err
	}
	info.PeerID = a.RemoteKey.PeerID()
	if err := a.CheckInfo(info); err != nil {
		return nil, err
	}
	session, err := secured.Mux(a.Side, common(a.Channels, info.Channels))
	if err != nil {
		return nil, handshake.Fail(handshake.StageMuxer, muxer.CodeIncompatible, err)
	}
	a.Done(handshake.StageInfo)
	return &handshake.Link{Session: session, Security: "secretconn", Muxer: "mconn", Remote: *info,
		Binding: secured.Binding}, nil
}

// ownIdentity marks the errors of our own identity, for which the remote is not to blame.
type ownIdentity struct{ handshake.Identity }

func (o ownIdentity) PublicKey(ctx context.Context) (handshake.PublicKey, error) {
	key, err := o.Identity.PublicKey(ctx)
	if err != nil {
		err = &handshake.IdentityError{Err: err}
	}
	return key, err
}

func (o ownIdentity) Sign(ctx context.Context, p handshake.Purpose, msg []byte) ([]byte, error) {
	sig, err := o.Identity.Sign(ctx, p, msg)
	if err != nil {
		err = &handshake.IdentityError{Err: err}
	}
	return sig, err
}

// codeOr returns code, or CodeUnknown for an error of the connection beneath or of our own identity: the Upgrader then
// finds the code.
func codeOr(err error, code muxer.Code) muxer.Code {
	var own *handshake.IdentityError
	if errors.As(err, &own) || handshake.CodeOf(err) != muxer.CodeUnknown {
		return muxer.CodeUnknown
	}
	return code
}

// common returns our channels that the remote serves too: a CometBFT node ends the link at a message for any other.
func common(ours []muxer.Channel, remote []byte) []muxer.Channel {
	var has [256]bool
	for _, id := range remote {
		has[id] = true
	}
	both := make([]muxer.Channel, 0, len(ours))
	for _, c := range ours {
		if has[c.ID] {
			both = append(both, c)
		}
	}
	return both
}
