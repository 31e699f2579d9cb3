package tls

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// Config has the settings of a Security. The zero value has the defaults.
type Config struct {
	// Classic leaves the post-quantum hybrid X25519MLKEM768 out of what our dialers offer. Listeners take it all the
	// same.
	Classic bool
}

// Security makes secured connections. Its methods may be called concurrently.
type Security struct {
	cfg   Config
	own   handshake.Proof[*certificates]
	mu    sync.Mutex // guards hub
	hub   *hub
	known known
}

var _ handshake.Security = (*Security)(nil)

// New makes a Security. It starts nothing.
func New(cfg Config) *Security {
	return &Security{cfg: cfg, own: handshake.Proof[*certificates]{Make: certify, Fresh: certLife}}
}

// Name implements handshake.Security.
func (*Security) Name() string { return "tls" }

// Protocol implements handshake.Security.
func (*Security) Protocol() string { return Protocol }

// Keep implements handshake.Security.
func (s *Security) Keep(ctx context.Context, id handshake.Identity) { s.own.Keep(ctx, id) }

// Secure implements handshake.Security. ctx is passed to the identity; it does not interrupt reads and writes. The
// connection is a *Conn.
//
// Want is compared before the dialer names itself. CheckKey is called after the whole handshake, as only then the key
// is proven; by then a dialer has named itself. A listener refuses after the dialer's handshake has succeeded, so the
// dialer's first Read returns the error.
func (s *Security) Secure(ctx context.Context, conn net.Conn, opts handshake.Securing) (handshake.SecureConn, error) {
	c, err := s.shake(ctx, conn, opts)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return nil, err
	}
	return c, nil
}

func (s *Security) shake(ctx context.Context, conn net.Conn, opts handshake.Securing) (*Conn, error) {
	own, err := s.own.Get(ctx, opts.Identity)
	if err != nil {
		return nil, err
	}
	config, err := s.configFor(own, opts)
	if err != nil {
		return nil, err
	}
	c := &Conn{under: under{Conn: conn}}
	if opts.Side == muxer.Dialer {
		c.Conn = tls.Client(&c.under, config)
	} else {
		c.Conn = tls.Server(&c.under, config)
	}
	if err := c.Conn.Handshake(); err != nil { // without ctx, which would cost a goroutine: the caller ends conn
		return nil, err
	}
	c.under.flight.over = true
	state := c.Conn.ConnectionState()
	if c.remote, err = RemoteKey(state); err != nil { // cannot be: verifyFor has looked at it
		return nil, err
	}
	switch c.muxer = state.NegotiatedProtocol; c.muxer {
	case "":
		return nil, ErrALPN
	case ALPN:
		c.muxer = ""
	}
	if opts.CheckKey != nil {
		if err := opts.CheckKey(c.remote); err != nil {
			return nil, err
		}
	}
	return c, nil
}
