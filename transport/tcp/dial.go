package tcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Dial connects to addr. The IP addresses of a host name are tried one after the other, IPv6 and IPv4 in turn, each beside those that
// have not answered within Config.Stagger (RFC 8305). Its error is a *transport.OpError, or wraps transport.ErrNoTransport.
func (t *Transport) Dial(ctx context.Context, addr ma.Multiaddr) (transport.Conn, error) {
	to, ok := parse(addr)
	if !ok || to.port == 0 {
		return nil, &transport.OpError{Op: "dial", Addr: addr, Err: fmt.Errorf("%w: tcp wants a host, then /tcp/PORT", transport.ErrNoTransport)}
	}
	if err := ctx.Err(); err != nil {
		return nil, transport.NewOpError(ctx, "dial", addr, err)
	}
	var c *net.TCPConn
	var err error
	if to.host == "" {
		c, err = t.dialIP(ctx, netip.AddrPortFrom(to.ip, to.port))
	} else {
		c, err = t.dialName(ctx, to)
	}
	if err != nil {
		return nil, transport.NewOpError(ctx, "dial", addr, err)
	}
	return newConn(c), nil
}

func (t *Transport) dialIP(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	d := net.Dialer{KeepAliveConfig: t.keepAlive(), KeepAlive: t.cfg.KeepAlive}
	return d.DialTCP(ctx, "tcp", netip.AddrPort{}, to)
}

func (t *Transport) dialName(ctx context.Context, to target) (*net.TCPConn, error) {
	ips, err := transport.Resolve(ctx, t.cfg.Resolver, to.network, to.host)
	if err != nil {
		return nil, err
	}
	ips = alternate(ips)
	if len(ips) == 1 {
		return t.dialIP(ctx, netip.AddrPortFrom(ips[0], to.port))
	}
	return race(ctx, t.cfg.Stagger, ips, func(ctx context.Context, ip netip.Addr) (*net.TCPConn, error) {
		c, err := t.dialIP(ctx, netip.AddrPortFrom(ip, to.port))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ip, transport.NewOpError(ctx, "", nil, err).Err)
		}
		return c, nil
	})
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
func race(ctx context.Context, stagger time.Duration, ips []netip.Addr,
	dial func(context.Context, netip.Addr) (*net.TCPConn, error)) (*net.TCPConn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn *net.TCPConn
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
	var won *net.TCPConn
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
				r.conn.Close()
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
	text := ""
	for i, err := range j {
		if i > 0 {
			text += "; "
		}
		text += err.Error()
	}
	return text
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
