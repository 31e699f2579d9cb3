// Package tcp is the transport over TCP: it dials and listens on /ip4|ip6|dns|dns4|dns6/HOST/tcp/PORT, and dials
// through a SOCKS5 proxy if it has one: Tor's addresses (/onion3/HOST:PORT), or all.
package tcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Config sets a Transport up. The zero Config is a useful one.
type Config struct {
	// Resolver finds the addresses of host names; nil means net.DefaultResolver.
	Resolver transport.Resolver
	// KeepAlive is how long a connection is silent before the kernel probes whether the remote is still there, and the
	// time between probes; nine unanswered ones end the connection. 0 means 30 s, a negative value turns probes off.
	KeepAlive time.Duration
	// Stagger is how long a dial of a host name waits for one IP address before it tries the next beside it. 0 means
	// 250 ms (RFC 8305, section 8).
	Stagger time.Duration
	// Proxy is a SOCKS5 proxy, HOST:PORT or socks5://USER:PASSWORD@HOST:PORT. It dials /onion3 addresses and names that
	// end in .onion, which nothing dials without it. With ProxyAll it dials every address.
	Proxy    string
	ProxyAll bool
}

func (c Config) withDefaults() Config {
	if c.KeepAlive == 0 {
		c.KeepAlive = 30 * time.Second
	}
	if c.Stagger <= 0 {
		c.Stagger = 250 * time.Millisecond
	}
	return c
}

// Transport dials and listens over TCP. It holds no state of its own: all methods may be called concurrently.
type Transport struct {
	cfg Config
}

// New makes a Transport.
func New(cfg Config) *Transport { return &Transport{cfg: cfg.withDefaults()} }

// Name is "tcp".
func (t *Transport) Name() string { return "tcp" }

// CanDial reports whether addr is a host and a TCP port, and nothing else, or with a proxy an address of Tor.
func (t *Transport) CanDial(addr ma.Multiaddr) bool {
	_, _, ok := t.target(addr)
	return ok
}

func parse(m ma.Multiaddr) (transport.Target, bool) { return transport.ParseTarget(m, ma.P_TCP) }

// Listen starts to listen on an IP address and port. Accept calls admit. The error is a *transport.OpError, or wraps
// transport.ErrNoTransport.
func (t *Transport) Listen(ctx context.Context, addr ma.Multiaddr, admit transport.Admit) (transport.Listener, error) {
	at, ok := parse(addr)
	if !ok {
		return nil, &transport.OpError{Op: "listen on", Addr: addr,
			Err: fmt.Errorf("%w: tcp wants /ip4 or /ip6, then /tcp/PORT", transport.ErrNoTransport)}
	}
	if at.Host != "" {
		return nil, &transport.OpError{Op: "listen on", Addr: addr,
			Err: errors.New("want an IP address, not a host name")}
	}
	if ctx.Err() != nil { // the net package does not look at it where no name is to be resolved
		return nil, transport.NewOpError(ctx, "listen on", addr, ctx.Err())
	}
	network := "tcp4"
	if at.IP.Is6() {
		network = "tcp6" // so that /ip4/0.0.0.0 and /ip6/:: can share a port
	}
	lc := net.ListenConfig{KeepAliveConfig: t.keepAlive(), KeepAlive: t.cfg.KeepAlive}
	lc.SetMultipathTCP(false) // plain sockets: the remote would need it too, and every connection pays for it
	l, err := lc.Listen(ctx, network, at.AddrPort().String())
	if err != nil {
		return nil, transport.NewOpError(ctx, "listen on", addr, err)
	}
	bound := transport.AddrPortOf(l.Addr())
	return &listener{tcp: l.(*net.TCPListener), admit: admit, addr: transport.TCPMultiaddr(bound), at: bound}, nil
}

// Close does nothing: a Transport keeps nothing.
func (t *Transport) Close() error { return nil }

func (t *Transport) keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: t.cfg.KeepAlive > 0, Idle: t.cfg.KeepAlive, Interval: t.cfg.KeepAlive, Count: 9}
}
