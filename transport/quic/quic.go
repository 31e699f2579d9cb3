// Package quic is the transport over QUIC as libp2p nodes speak it (version 1 of QUIC, ALPN "libp2p"): it dials and
// listens on /ip4|ip6|dns|dns4|dns6/HOST/udp/PORT/quic-v1. Its connections are secured and muxed
// (handshake.SecuredConn): the handshake proves the remote's key in a TLS certificate, and streams are QUIC's own. It
// is built on github.com/quic-go/quic-go; TLS comes from outside (Env.TLS).
//
// One UDP socket carries all of an address: its listener, the connections that it accepts, and those that are dialed
// from it. A dial uses the socket of a listener of the same family that reaches the target, else one socket for all
// dials of that family. A socket is closed when nobody uses it any more; one that was opened for dials a little later
// (Transport.Close).
//
// Who is let in is decided before any cryptography (transport.Admit), and source addresses that may be forged hold
// little for a short time (admission.go). How streams fit a session's lanes is said in lanein.go and laneout.go, what
// codes mean on the wire in code.go, how packets are read in udp_linux.go.
//
// Facts: RFC 9000, libp2p/specs (quic, tls); go-libp2p v0.51.0 is the judge.
package quic

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	lib "github.com/quic-go/quic-go"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/transport"
)

// ALPN is the only protocol that libp2p offers in the TLS handshake of QUIC.
const ALPN = "libp2p"

// Defaults of Config's zero fields.
const (
	DefaultHandshakeTimeout = 5 * time.Second
	DefaultIdleTimeout      = 45 * time.Second
	DefaultKeepAlive        = 15 * time.Second
	DefaultMaxStreams       = 256
	DefaultStreamWindow     = 2 << 10
	DefaultMaxUnread        = 1 << 30
	DefaultUnverified       = 32
	DefaultStagger          = 250 * time.Millisecond

	smallestWindow   = 1 << 10
	smallestUnread   = 8 << 20
	largestUnread    = min(1<<40, math.MaxInt)
	largestStreams   = 1 << 20
	largestTimeout   = time.Hour
	smallestTimeout  = 10 * time.Millisecond
	largestUnderWay  = 1 << 16
	tokenOrigins     = 256 // remotes whose address tokens a dialer keeps; 2 of each
	tokensOfOneNode  = 2
	connIDSize       = 8 // go-quic's default of 4 makes collisions possible with many connections
	windowMultiplier = 4 // the connection's first window, in first windows of streams
	shareOfOne       = 4 // the part of MaxUnread that one connection may have
)

// Config are the settings of a Transport. The zero value of every field means its default.
type Config struct {
	// HandshakeTimeout ends a handshake in which the remote is silent for so long, and any handshake after twice that.
	HandshakeTimeout time.Duration
	// IdleTimeout ends a connection on which nothing arrives, counted from our first packet that is not answered: after
	// at most IdleTimeout and KeepAlive together. The smaller one of both ends counts; go-libp2p has 30 s.
	IdleTimeout time.Duration
	// KeepAlive is the time between our packets on a connection on which nothing else happens, so that it is not idle;
	// at most half of the idle timeout.
	KeepAlive time.Duration
	// MaxStreams is how many streams the remote may have open at once. It cannot open more.
	MaxStreams int
	// MaxUnread is how much memory, in bytes, received data that nobody has read may hold at worst, of all connections:
	// when remotes send it in frames of one byte, each of which holds nearly 200 (memory.go). A connection begins with
	// a part of that, 2.5 MiB by default, or is refused. Receive windows grow as far as the rest allows: 1 GiB is 5.6
	// MiB of windows. A remote whose window is used up waits.
	MaxUnread int
	// StreamWindow is how much of a stream the remote may send ahead of our reading, at first, in bytes. It grows up to
	// MaxStreamWindow with the delay-bandwidth product. The connection's window begins with four times that, so that a
	// stream which nobody reads does not hold up the others. It grows from when the link is up.
	StreamWindow int
	// MaxWindow and MaxStreamWindow bound the windows of a connection and of a stream, in bytes; 0 means a quarter of
	// what MaxUnread allows for all, and half of MaxWindow. One stream that nobody reads does not stop the others.
	// Several whose windows have grown do, when these add up to the connection's. A smaller MaxStreamWindow makes that
	// rarer, and one stream slower over a long path.
	MaxWindow, MaxStreamWindow int
	// Unverified is how many connections from addresses that may be forged may be in their handshake at once. Beyond
	// that, addresses are validated first, which costs the dialer a round trip (RFC 9000, section 8.1.2).
	Unverified int
	// Stagger is how long a dial of a host name waits for one IP address before it tries the next beside it (RFC 8305,
	// section 8).
	Stagger time.Duration
}

func (c Config) withDefaults() Config {
	number := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	span := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	number(&c.MaxStreams, DefaultMaxStreams)
	number(&c.MaxUnread, DefaultMaxUnread)
	number(&c.MaxWindow, c.MaxUnread/windowCost/shareOfOne)
	number(&c.MaxStreamWindow, c.MaxWindow/2)
	number(&c.StreamWindow, min(DefaultStreamWindow, c.MaxStreamWindow))
	number(&c.Unverified, DefaultUnverified)
	span(&c.HandshakeTimeout, DefaultHandshakeTimeout)
	span(&c.IdleTimeout, DefaultIdleTimeout)
	span(&c.KeepAlive, min(DefaultKeepAlive, c.IdleTimeout/3))
	span(&c.Stagger, DefaultStagger)
	return c
}

// Validate says which setting is impossible, if any.
func (c Config) Validate() error {
	c = c.withDefaults()
	for _, f := range []struct {
		name         string
		v, low, high int
	}{
		{"MaxStreams", c.MaxStreams, 1, largestStreams},
		{"MaxUnread", c.MaxUnread, smallestUnread, largestUnread},
		{"MaxWindow", c.MaxWindow, smallestWindow, c.MaxUnread / windowCost},
		{"MaxStreamWindow", c.MaxStreamWindow, min(smallestWindow, c.MaxWindow), c.MaxWindow},
		{"StreamWindow", c.StreamWindow, min(smallestWindow, c.MaxStreamWindow), c.MaxStreamWindow},
		{"Unverified", c.Unverified, 1, largestUnderWay},
	} {
		if f.v < f.low || f.v > f.high {
			return fmt.Errorf("quic: %s is %d, not in %d to %d", f.name, f.v, f.low, f.high)
		}
	}
	for _, f := range []struct {
		name string
		v    time.Duration
	}{
		{"HandshakeTimeout", c.HandshakeTimeout}, {"IdleTimeout", c.IdleTimeout}, {"KeepAlive", c.KeepAlive},
		{"Stagger", c.Stagger},
	} {
		if f.v < smallestTimeout || f.v > largestTimeout {
			return fmt.Errorf("quic: %s is %v, not in %v to %v", f.name, f.v, smallestTimeout, largestTimeout)
		}
	}
	if c.KeepAlive > c.IdleTimeout/2 {
		return fmt.Errorf("quic: KeepAlive is %v, more than half of IdleTimeout (%v)", c.KeepAlive, c.IdleTimeout)
	}
	return nil
}

// TLS makes configurations of TLS 1.3 in which both ends show a libp2p certificate. *Security of handshake/tls is one.
type TLS interface {
	// ServerConfig is good for any number of connections; it lets in any node.
	ServerConfig(id handshake.Identity) *tls.Config
	// ClientConfig is for one connection to the node want; "" accepts any. ctx is for id only.
	ClientConfig(ctx context.Context, id handshake.Identity, want transport.NodeID) (*tls.Config, error)
}

// Env is what a Transport needs of its node. Identity, TLS and RemoteKey are required.
type Env struct {
	Identity handshake.Identity
	TLS      TLS
	// RemoteKey finds the remote's key in a handshake that is complete, such as RemoteKey of handshake/tls.
	RemoteKey func(tls.ConnectionState) (handshake.PublicKey, error)
	// Resolver finds the addresses of host names; nil means net.DefaultResolver.
	Resolver transport.Resolver
	// ResetKey lets remotes learn at their next packet that this node has lost its connections, as after a crash (RFC
	// 9000, section 10.3). Keep it secret, and the same over restarts; nil means one for this process only.
	ResetKey *[32]byte
	Logger   *slog.Logger // nil discards
}

// Transport dials and listens over QUIC. All methods may be called concurrently.
type Transport struct {
	cfg    Config
	env    Env
	conf   *lib.Config
	server *tls.Config
	reset  lib.StatelessResetKey
	log    *slog.Logger
	budget *budget

	mu      sync.Mutex           // guards what follows
	sockets map[*socket]struct{} // those that are open
	closed  bool
	timers  sync.WaitGroup // of sockets that nobody uses
}

var _ transport.Transport = (*Transport)(nil)

// New checks cfg and env, and starts nothing.
func New(cfg Config, env Env) (*Transport, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	switch {
	case env.Identity == nil:
		return nil, errors.New("quic: an identity is required")
	case env.TLS == nil || env.RemoteKey == nil:
		return nil, errors.New("quic: Env.TLS and Env.RemoteKey are required")
	}
	if env.Logger == nil {
		env.Logger = slog.New(slog.DiscardHandler)
	}
	cfg = cfg.withDefaults()
	t := &Transport{cfg: cfg, env: env, log: env.Logger, sockets: map[*socket]struct{}{},
		budget: newBudget(cfg)}
	t.conf = &lib.Config{
		Versions:                       []lib.Version{lib.Version1},
		HandshakeIdleTimeout:           cfg.HandshakeTimeout,
		MaxIdleTimeout:                 cfg.IdleTimeout,
		KeepAlivePeriod:                cfg.KeepAlive,
		InitialStreamReceiveWindow:     uint64(cfg.StreamWindow),
		MaxStreamReceiveWindow:         uint64(cfg.MaxStreamWindow),
		InitialConnectionReceiveWindow: uint64(min(windowMultiplier*cfg.StreamWindow, cfg.MaxWindow)),
		MaxConnectionReceiveWindow:     uint64(cfg.MaxWindow),
		AllowConnectionWindowIncrease:  t.budget.allow,
		MaxIncomingStreams:             int64(cfg.MaxStreams),
		MaxIncomingUniStreams:          -1,
		TokenStore:                     lib.NewLRUTokenStore(tokenOrigins, tokensOfOneNode),
	}
	t.server = env.TLS.ServerConfig(env.Identity).Clone()
	refuseInterrupted(t.server)
	if env.ResetKey != nil {
		t.reset = *env.ResetKey
	} else {
		_, _ = rand.Read(t.reset[:]) // never fails
	}
	return t, nil
}

// Name is "quic".
func (t *Transport) Name() string { return "quic" }

// CanDial says whether addr is a host, a UDP port and quic-v1, and nothing else.
func (t *Transport) CanDial(addr ma.Multiaddr) bool {
	_, ok := parse(addr)
	return ok
}
