// Package libp2p is the wire of libp2p nodes. Over byte connections, multistream-select agrees on a security (Noise,
// TLS), the remote's key is proven, a stream muxer is agreed on (together with the security where that can, else by
// multistream-select again). Connections that their transport has secured and muxed (QUIC) begin behind that. Addresses
// end in /p2p/<peer id>.
//
// Two Switchyard nodes then say hello on a stream of their own: each tells its network, channels, height and more, and
// in the end whether it takes the link, or why not (Link.Confirm). A remote that has no hello is asked to identify
// itself and is a guest (handshake.NodeInfo.Guest): nobody knows of which network it is. Of our channels that are for
// guests (muxer.Channel.Guests) it is given those whose names are among its protocols, or CometBFT's names for them,
// under which each message is a stream.
//
// A link's session carries channels and streams (package muxer/lanes).
//
// The package does not know its securities and muxers; it is given both (see Config).
//
// Facts: libp2p/specs (connections, identify, ping); go-libp2p v0.51.0 is the judge.
package libp2p

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Config is what the wire is built from. Identity, at least one security and at least one muxer are required.
type Config struct {
	Identity   handshake.Identity
	Securities []handshake.Security // in order of preference
	Muxers     []muxer.StreamMuxer  // in order of preference
	Lanes      lanes.Config         // settings of the sessions; Serve, Proposed, Single and Logger are the wire's
	Logger     *slog.Logger         // nil discards
	// Plain makes us a plain libp2p node: we say no hello and answer none, so that every remote takes us as a guest.
	Plain bool
}

// Wire is the libp2p wire, a handshake.Wire.
type Wire struct {
	cfg        Config
	securities []string // their protocols, in order of preference
	muxers     []string
}

var _ handshake.Wire = (*Wire)(nil)

// New checks cfg.
func New(cfg Config) (*Wire, error) {
	switch {
	case cfg.Identity == nil:
		return nil, errors.New("libp2p: an identity is required")
	case len(cfg.Securities) == 0:
		return nil, errors.New("stack.security: the libp2p wire needs at least one security")
	case len(cfg.Muxers) == 0:
		return nil, errors.New("stack.muxers: the libp2p wire needs at least one muxer")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Lanes.Logger, cfg.Lanes.Single = cfg.Logger, cometName
	if cfg.Lanes.Shared == nil {
		cfg.Lanes.Shared = &muxer.SharedPartial{}
	}
	w := &Wire{cfg: cfg}
	for _, s := range cfg.Securities {
		w.securities = append(w.securities, s.Protocol())
	}
	for _, m := range cfg.Muxers {
		w.muxers = append(w.muxers, m.Protocol())
	}
	return w, nil
}

// Name implements handshake.Wire.
func (*Wire) Name() string { return transport.WireLibp2p }

// Recognizes implements handshake.Wire. The wire takes secured connections too (QUIC).
func (*Wire) Recognizes(prefix []byte) bool {
	return len(prefix) == 0 || prefix[0] == multistream.First
}

// CanDial implements handshake.Wire: the address names a libp2p node, or leaves the wire open.
func (*Wire) CanDial(addr transport.Address) bool {
	return addr.Wire() == transport.WireLibp2p || addr.Wire() == ""
}

// Upgrade implements handshake.Wire. Of a connection that its transport has secured and muxed it only checks the key.
func (w *Wire) Upgrade(ctx context.Context, a *handshake.Attempt) (*handshake.Link, error) {
	var streams muxer.Streams
	var security, mux string
	if conn := a.Secured; conn != nil {
		security, mux = conn.Security, conn.Muxer
		if err := a.CheckKey(conn.RemoteKey); err != nil {
			return nil, err
		}
		a.Done(handshake.StageSecurity)
		streams = conn.Streams
	} else {
		secured, name, err := w.secure(ctx, a)
		if err != nil {
			return nil, err
		}
		a.Done(handshake.StageSecurity)
		m, err := w.agreeOnMuxer(secured, a.Side)
		if err != nil {
			return nil, err
		}
		if streams, err = m.New(secured, a.Side); err != nil {
			return nil, handshake.Fail(handshake.StageMuxer, muxer.CodeUnknown, err)
		}
		security, mux = name, m.Name()
	}
	a.Done(handshake.StageMuxer)

	link, err := w.open(ctx, a, streams)
	if err != nil {
		return nil, err
	}
	a.Done(handshake.StageInfo)
	link.Security, link.Muxer = security, mux
	return link, nil
}

// open makes the session, and learns what the remote is. The remote may ask us before we ask it.
func (w *Wire) open(ctx context.Context, a *handshake.Attempt, streams muxer.Streams) (*handshake.Link, error) {
	self, err := w.cfg.Identity.PublicKey(ctx)
	if err != nil {
		_ = streams.CloseWith(muxer.CodeUnknown, "", 0)
		return nil, handshake.Fail(handshake.StageInfo, muxer.CodeUnknown,
			&handshake.IdentityError{Err: fmt.Errorf("our own key: %w", err)})
	}
	s := &server{self: newSelf(self, a), remote: a.RemoteKey}
	s.self.plain = w.cfg.Plain
	m := &infoExchange{a: a, plain: w.cfg.Plain}
	cfg := w.cfg.Lanes
	cfg.Serve = s.find
	if a.Side == muxer.Listener {
		m.others, m.hellos, m.done = make(chan struct{}), make(chan arrival), make(chan struct{})
		s.exchange.Store(m)
		cfg.Proposed = s.proposed
	}
	session := lanes.New(streams, cfg)
	link, err := m.run(ctx, session)
	if s.exchange.Swap(nil) != nil {
		close(m.done) // a hello that comes later is refused
	}
	if err != nil {
		code := muxer.CodeProtocolError
		var refusal *handshake.Refusal
		if errors.As(err, &refusal) {
			code = refusal.Code
		}
		_ = session.Close(code, err.Error())
		_ = session.Run(ctx, nil) // it returns at once; it waits for the session's goroutines
		return nil, err
	}
	if m.seq > 0 {
		s.changes.began(m.seq)
	}
	link.Changes = func(f func(handshake.NodeInfo)) { s.changes.tell(&link.Remote, f) }
	link.Push = s.push(session)
	if !link.Remote.Guest {
		link.Goodbye = func(ctx context.Context, r *handshake.Refusal) { goodbye(ctx, session, r) }
		link.Farewell = s.farewell.Load
	}
	return link, nil
}

// cometName is the protocol under which CometBFT's libp2p mode carries the messages of a channel, one a stream
// (cometbft lp2p/stream.go).
func cometName(c muxer.Channel) string {
	const digits = "0123456789abcdef"
	return "/p2p/cometbft/1.0.0/channel/0x" + string([]byte{digits[c.ID>>4], digits[c.ID&15]})
}

// common are the channels of ours that a guest has, of those that are for guests: those whose name, or CometBFT's name
// for them, is among its protocols. singly are the ids of those of which it has only the latter.
func common(ours []muxer.Channel, guest *handshake.NodeInfo) (both []muxer.Channel, singly []byte) {
	has := make(map[string]bool, len(guest.Protocols))
	for _, p := range guest.Protocols {
		has[p] = true
	}
	for _, c := range ours {
		switch {
		case !c.Guests:
			continue
		case has[c.WithDefaults().Name]:
		case has[cometName(c)]:
			singly = append(singly, c.ID)
		default:
			continue
		}
		both = append(both, c)
	}
	return both, singly
}
