package quic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	lib "github.com/quic-go/quic-go"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Dial connects to addr and does the handshake; the connection is a *Conn. Any node is taken: whoever dials looks at RemotePublicKey. The IP addresses of a
// host name are tried one after the other, IPv6 and IPv4 in turn, each beside those that have not answered within Config.Stagger (RFC 8305). Its error is
// a *transport.OpError, which wraps a *muxer.CloseError where the remote, or its certificate, is to blame, or transport.ErrNoTransport.
func (t *Transport) Dial(ctx context.Context, addr ma.Multiaddr) (transport.Conn, error) {
	to, ok := parse(addr)
	if !ok || to.port == 0 {
		return nil, &transport.OpError{Op: "dial", Addr: addr, Err: fmt.Errorf("%w: quic wants a host, then /udp/PORT/quic-v1", transport.ErrNoTransport)}
	}
	if ctx.Err() != nil {
		return nil, transport.NewOpError(ctx, "dial", addr, ctx.Err())
	}
	ips := []netip.Addr{to.ip}
	if to.host != "" {
		var err error
		if ips, err = transport.Resolve(ctx, t.env.Resolver, to.network, to.host); err != nil {
			return nil, transport.NewOpError(ctx, "dial", addr, err)
		}
		ips = alternate(ips)
	}
	var c *Conn
	var err error
	if len(ips) == 1 {
		c, err = t.dialIP(ctx, netip.AddrPortFrom(ips[0], to.port))
	} else {
		c, err = race(ctx, t.cfg.Stagger, ips, func(ctx context.Context, ip netip.Addr) (*Conn, error) {
			c, err := t.dialIP(ctx, netip.AddrPortFrom(ip, to.port))
			if err != nil {
				err = fmt.Errorf("%s: %w", ip, err)
			}
			return c, err
		})
	}
	if err != nil {
		return nil, transport.NewOpError(ctx, "dial", addr, err)
	}
	return c, nil
}

func (t *Transport) dialIP(ctx context.Context, to netip.AddrPort) (*Conn, error) {
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
	return newConn(s, q, key, nil), nil
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

// alternate puts IPv6 and IPv4 addresses in turn, IPv6 first, each family in the resolver's order.
func alternate(ips []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr
	for _, ip := range ips {
		if ip.Is6() {
			families[0] = append(families[0], ip)
		} else {
			families[1] = append(families[1], ip)
		}
	}
	out := ips[:0]
	for i := range max(len(families[0]), len(families[1])) {
		for _, family := range families {
			if i < len(family) {
				out = append(out, family[i])
			}
		}
	}
	return out
}

// race dials the addresses one after the other: the next one when one fails, or when stagger has passed. It returns the first
// connection, or all errors, and only after every attempt has ended.
func race(ctx context.Context, stagger time.Duration, ips []netip.Addr, dial func(context.Context, netip.Addr) (*Conn, error)) (*Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn *Conn
		err  error
	}
	results := make(chan result)
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	started, running := 0, 0
	next := func() {
		if started == len(ips) || ctx.Err() != nil {
			return
		}
		ip := ips[started]
		started++
		running++
		go func() {
			c, err := dial(ctx, ip)
			results <- result{c, err}
		}()
		timer.Reset(stagger)
	}
	var won *Conn
	var failed []error
	for next(); running > 0; {
		select {
		case r := <-results:
			running--
			switch {
			case r.err != nil:
				failed = append(failed, r.err)
				if won == nil {
					next()
				}
			case won == nil:
				won = r.conn
				cancel() // the others end at once
			default: // a second one came up at the same moment
				_ = r.conn.Close()
			}
		case <-timer.C:
			if won == nil {
				next()
			}
		}
	}
	if won != nil {
		return won, nil
	}
	return nil, join(failed)
}

// joined is several failures in one line.
type joined []error

func (j joined) Error() string {
	texts := make([]string, len(j))
	for i, err := range j {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (j joined) Unwrap() []error { return j }

func join(errs []error) error {
	switch len(errs) {
	case 0:
		return errors.New("not tried")
	case 1:
		return errs[0]
	}
	return joined(errs)
}
