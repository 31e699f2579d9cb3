package handshake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// DefaultTimeout bounds all stages of a handshake together, where Config.Timeout does not say otherwise.
const DefaultTimeout = 5 * time.Second

const keyTimeout = "limits.handshake_timeout"

// Config is what an Upgrader needs. Wires, Local and Channels are required.
type Config struct {
	// Self is our node id: a connection that reaches it is refused. "" means the ID of what Local makes.
	Self  transport.NodeID
	Wires []Wire // in order of preference
	// Local makes our node info for one connection. It must not block.
	Local func(transport.Conn) NodeInfo
	// Channels are the channels that sessions carry. Called once a connection.
	Channels func() []muxer.Channel
	Gates    []Gate
	// Inspect, if set, sees every node info as it arrives, before it is judged: for diagnostics, and for crawlers that
	// do not know the network yet. It is called concurrently, on the connection's goroutine, must not block, and may
	// keep Visitor.Info.
	Inspect func(Visitor)
	// Staged, if set, is told of each stage that the handshake of an address that we dialed goes on to, after
	// StageSecurity. It is called concurrently, and must not block.
	Staged  func(dialed transport.Address, stage string)
	Timeout time.Duration // all stages together; 0 means 5 s
	Limits  Limits
	Logger  *slog.Logger // nil discards
}

// Upgrader turns raw connections into links. All methods may be called concurrently. It owns no goroutine.
type Upgrader struct {
	cfg     Config
	budgets *budgets
}

// NewUpgrader checks cfg and starts nothing.
func NewUpgrader(cfg Config) (*Upgrader, error) {
	switch {
	case len(cfg.Wires) == 0:
		return nil, errors.New("stack.wires: an upgrader needs at least one wire")
	case cfg.Local == nil:
		return nil, errors.New("an upgrader needs Config.Local")
	case cfg.Channels == nil:
		return nil, errors.New("an upgrader needs Config.Channels")
	case cfg.Timeout < 0:
		return nil, fmt.Errorf("%s: %v is negative (0 means %v)", keyTimeout, cfg.Timeout, DefaultTimeout)
	}
	names := make(map[string]bool, len(cfg.Wires))
	for _, w := range cfg.Wires {
		if names[w.Name()] {
			return nil, fmt.Errorf("stack.wires: %q is there twice", w.Name())
		}
		names[w.Name()] = true
	}
	limits, err := cfg.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	cfg.Limits = limits
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Upgrader{cfg: cfg, budgets: newBudgets(limits)}, nil
}

// SetLimits changes the limits of inbound handshakes; those in flight go on. A zero field means its default.
func (u *Upgrader) SetLimits(l Limits) error {
	l, err := l.withDefaults()
	if err == nil {
		u.budgets.setLimits(l)
	}
	return err
}

// Admit returns the transport.Admit of our listeners: it takes a ticket of the inbound budgets for a raw connection. It
// looks first at the rate of the remote's IP, then at what is in flight from it and in all, then asks the gates at
// AtAccept. When only the budget of all is spent, the source that holds the most loses a ticket to a newcomer from a
// source that holds fewer: so a few sources that are silent, or slow, never keep the others out. Its errors are
// *Refusal.
func (u *Upgrader) Admit(conn transport.Conn) (transport.Ticket, error) {
	t := &ticket{budgets: u.budgets, conn: conn}
	ip := conn.RemoteIP()
	full, err := u.budgets.take(t, sourceOf(ip), time.Now())
	if err != nil && !full {
		return nil, err
	}
	// A connection that a gate refuses takes no one's place.
	visitor := Visitor{At: AtAccept, Side: muxer.Listener, Remote: conn.RemoteMultiaddr(), IP: ip}
	if refusal := u.ask(visitor); refusal != nil {
		if !full {
			t.Release()
		}
		return nil, refusal
	}
	if full {
		loser, ok := u.budgets.takeOver(t, time.Now())
		if !ok {
			return nil, err
		}
		if loser != nil {
			loser.interrupt()
		}
	}
	return t, nil
}

// Inbound does the listening side's handshake on conn and releases t, whatever happens. t is what Admit returned for
// this connection. Its errors are *StageError or *Refusal; the connection is closed then.
func (u *Upgrader) Inbound(ctx context.Context, conn transport.Conn, t transport.Ticket) (*Link, error) {
	own, ok := t.(*ticket)
	if !ok {
		t.Release()
		_ = conn.Close()
		return nil, Fail(StageTransport, muxer.CodeUnknown, fmt.Errorf("a ticket of another kind (%T)", t))
	}
	a := &Attempt{Conn: conn, Side: muxer.Listener, ticket: own, stages: make([]Stage, 0, 3)}
	return u.upgrade(ctx, a, u.recognize)
}

// Outbound does the dialing side's handshake. transportTook, how long the dial took, is recorded as the first stage.
// Its errors are *StageError or *Refusal, which say in which stage and by whose proven key; the connection is closed
// then.
func (u *Upgrader) Outbound(ctx context.Context, raw transport.Conn, addr transport.Address,
	transportTook time.Duration) (*Link, error) {
	a := &Attempt{Conn: raw, Side: muxer.Dialer, Dialed: addr, Want: addr.ID()}
	a.stages = append(make([]Stage, 0, 4), Stage{StageTransport, transportTook})
	return u.upgrade(ctx, a, func(a *Attempt) (Wire, error) {
		visitor := Visitor{At: AtAccept, Side: a.Side, Remote: raw.RemoteMultiaddr(), IP: raw.RemoteIP()}
		if err := u.ask(visitor); err != nil {
			return nil, err
		}
		return u.wireFor(a)
	})
}

// upgrade does a handshake under one deadline and closes the connection unless it succeeds.
func (u *Upgrader) upgrade(ctx context.Context, a *Attempt, choose func(*Attempt) (Wire, error)) (link *Link,
	err error) {
	raw := a.Conn
	began := time.Now()
	deadline := began.Add(u.cfg.Timeout)
	shake, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	// Closing ends whatever read or write the wire is blocked in. No goroutine waits for it. That the time is over, a
	// connection's own deadline tells as well, if it has one: an error of setting it is that of a dead connection.
	end := func() {
		cancel()
		_ = raw.Close()
	}
	ended := shake
	switch conn := raw.(type) { // the one place that tells the two kinds of connection apart
	case *SecuredConn:
		a.Secured = conn
	case transport.ByteConn:
		a.Bytes = NewPeekConn(conn)
		deadline, _ = shake.Deadline()
		_ = conn.SetDeadline(deadline)
		ended = ctx // which others wait for, too, so that this costs less
	default:
		a.ticket.Release()
		_ = raw.Close()
		err := fmt.Errorf("a connection of type %T carries neither bytes nor streams", raw)
		return nil, Fail(StageTransport, muxer.CodeIncompatible, err)
	}
	keep := context.AfterFunc(ended, end)
	a.u, a.last, a.stage = u, began, StageSecurity
	defer func() {
		if r := recover(); r != nil {
			u.cfg.Logger.Error("a handshake panicked", slog.Any("panic", r), slog.Any("remote", raw.RemoteMultiaddr()),
				slog.String("stack", string(debug.Stack())))
			link, err = nil, Fail(a.stage, muxer.CodeUnknown, fmt.Errorf("the wire panicked: %v", r))
		}
		held := a.ticket.finish()
		if !held { // an error of the wire is only a consequence
			if err == nil {
				_ = link.Session.Close(muxer.CodeTooManyStarts, u.budgets.lostTicket().Reason)
			}
			lost := u.budgets.lostTicket()
			lost.Stage = a.stage
			err = &lost
		}
		if err == nil && (!keep() || shake.Err() != nil) {
			_ = link.Session.Close(muxer.CodeTimeout, "the handshake's time was over")
			link, err = nil, Fail(a.stage, muxer.CodeTimeout, cmp.Or(context.Cause(ctx), context.Cause(shake)))
		}
		if err != nil {
			keep()
			_ = raw.Close()
			link, err = nil, u.explain(ctx, shake, a, began, err)
		}
	}()
	if !a.ticket.bind(end) {
		return nil, refused(u.budgets.lostTicket()) // said once more below
	}

	wire, err := choose(a)
	if err != nil {
		return nil, err
	}
	growStack(0)
	a.wire = wire.Name()
	a.Local, a.Channels = u.cfg.Local(raw), u.cfg.Channels()
	if u.cfg.Self != "" {
		a.Local.ID = u.cfg.Self
	}
	a.Local.Replaces, _ = ctx.Value(replacesKey{}).([]byte)
	link, err = wire.Upgrade(shake, a)
	if err != nil {
		return nil, err
	}
	if link == nil || link.Session == nil {
		return nil, Fail(a.stage, muxer.CodeUnknown, fmt.Errorf("the wire %s made no session", wire.Name()))
	}
	if a.Bytes != nil {
		_ = a.Bytes.SetDeadline(time.Time{}) // the session sets its own
	}
	link.Wire, link.Side, link.RemoteKey, link.Dialed, link.Stages = wire.Name(), a.Side, a.RemoteKey, a.Dialed,
		a.stages
	link.Began = began
	link.LocalAddr, link.RemoteAddr = raw.LocalMultiaddr(), raw.RemoteMultiaddr()
	link.Transport = transportOf(link.RemoteAddr)
	return link, nil
}

// recognize chooses the wire of an inbound connection by its first bytes, which the wire will read again.
func (u *Upgrader) recognize(a *Attempt) (Wire, error) {
	if a.Secured != nil {
		return u.wireFor(a)
	}
	prefix, err := a.Bytes.Peek()
	if err != nil {
		return nil, Fail(StageSecurity, muxer.CodeUnknown, fmt.Errorf("read the first byte: %w", err))
	}
	for _, w := range u.cfg.Wires {
		if w.Recognizes(prefix) {
			return w, nil
		}
	}
	err = fmt.Errorf("no wire begins with the byte 0x%02x", prefix[0])
	return nil, Fail(StageSecurity, muxer.CodeProtocolError, err)
}

// wireFor returns the first wire that can work on the connection and, when we dialed it, on its address.
func (u *Upgrader) wireFor(a *Attempt) (Wire, error) {
	for _, w := range u.cfg.Wires {
		if (a.Side == muxer.Listener || w.CanDial(a.Dialed)) && (a.Bytes != nil || w.Recognizes(nil)) {
			return w, nil
		}
	}
	err := fmt.Errorf("none of our wires dials %s", a.Dialed)
	if a.Side == muxer.Listener {
		err = fmt.Errorf("none of our wires takes a secured connection from %s", a.Conn.RemoteMultiaddr())
	}
	return nil, Fail(StageSecurity, muxer.CodeIncompatible, err)
}
