package quic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	ma "github.com/multiformats/go-multiaddr"
	lib "github.com/quic-go/quic-go"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Dial connects to addr and does the handshake; the connection is a *handshake.SecuredConn. It takes any node: the
// caller looks at RemoteKey. The IP addresses of a host name are tried one after the other, IPv6 and IPv4 in turn, each
// beside those that have not answered within Config.Stagger (RFC 8305). Its error is a *transport.OpError, which wraps
// a *muxer.CloseError where the remote, or its certificate, is to blame, or transport.ErrNoTransport.
func (t *Transport) Dial(ctx context.Context, addr ma.Multiaddr) (transport.Conn, error) {
	to, ok := parse(addr)
	if !ok || to.Port == 0 {
		return nil, &transport.OpError{Op: "dial", Addr: addr,
			Err: fmt.Errorf("%w: quic wants a host, then /udp/PORT/quic-v1", transport.ErrNoTransport)}
	}
	if ctx.Err() != nil {
		return nil, transport.NewOpError(ctx, "dial", addr, ctx.Err())
	}
	c, err := transport.DialTarget(ctx, to, t.env.Resolver, t.cfg.Stagger, t.dialIP)
	if handshake.IsOwnFault(err) { // also when it waited for a signature until ctx ended
		return nil, &transport.OpError{Op: "dial", Addr: addr, Err: err}
	}
	if err != nil {
		return nil, transport.NewOpError(ctx, "dial", addr, err)
	}
	return c.secured(), nil
}

func (t *Transport) dialIP(ctx context.Context, to netip.AddrPort) (*Conn, error) {
	if err := t.budget.take(); err != nil {
		return nil, err
	}
	defer t.budget.give(nil)
	config, err := t.env.TLS.ClientConfig(ctx, t.env.Identity, "")
	if err != nil {
		return nil, err
	}
	s, err := t.reach(to.Addr())
	if err != nil {
		return nil, err
	}
	q, err := s.quic.Dial(ctx, net.UDPAddrFromAddrPort(to), config, t.conf)
	if err != nil {
		if errors.Is(err, lib.ErrTransportClosed) {
			s.broken.Store(true)
		}
		s.release()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, explainDial(err)
	}
	key, err := t.env.RemoteKey(q.ConnectionState().TLS)
	if err != nil { // cannot be: the handshake has looked at it
		_ = q.CloseWithError(0, "")
		s.release()
		return nil, err
	}
	return newConn(s, q, key), nil
}

// explainDial says why a handshake failed. What our own look at the remote's certificate found comes back as it is.
func explainDial(err error) error {
	var refusal *handshake.Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	var idle *lib.IdleTimeoutError
	if errors.As(err, &idle) { // nothing has come from there, or nothing any more
		return &muxer.CloseError{Code: muxer.CodeTimeout, Reason: "the remote does not answer", Err: err}
	}
	err = explain(err)
	var ce *muxer.CloseError
	if errors.As(err, &ce) && ce.Err != nil {
		ce.Err = shorter(ce.Err)
	}
	return err
}

// plain is an error with another text.
type plain struct {
	text string
	err  error
}

func (p *plain) Error() string { return p.text }
func (p *plain) Unwrap() error { return p.err }

// shorter leaves out what quic-go puts around a reason.
func shorter(err error) error {
	text := err.Error()
	if _, after, ok := strings.Cut(text, "(local): "); ok {
		text = after
	}
	return &plain{strings.TrimPrefix(text, "tls: "), err}
}
