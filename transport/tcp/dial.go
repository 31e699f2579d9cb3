package tcp

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Dial connects to addr. The IP addresses of a host name are tried one after the other, IPv6 and IPv4 in turn; the next
// one starts when one fails, or after Config.Stagger in parallel (RFC 8305). A proxy resolves the names that it dials.
// The error is a *transport.OpError, or wraps transport.ErrNoTransport.
func (t *Transport) Dial(ctx context.Context, addr ma.Multiaddr) (transport.Conn, error) {
	to, proxied, ok := t.target(addr)
	if !ok || to.Port == 0 {
		return nil, &transport.OpError{Op: "dial", Addr: addr,
			Err: fmt.Errorf("%w: tcp wants a host, then /tcp/PORT", transport.ErrNoTransport)}
	}
	if err := ctx.Err(); err != nil {
		return nil, transport.NewOpError(ctx, "dial", addr, err)
	}
	if proxied {
		conn, err := t.dialProxied(ctx, to, addr)
		if err != nil {
			return nil, transport.NewOpError(ctx, "dial", addr, err)
		}
		return conn, nil
	}
	c, err := transport.DialTarget(ctx, to, t.cfg.Resolver, t.cfg.Stagger, t.dialIP)
	if err != nil {
		return nil, transport.NewOpError(ctx, "dial", addr, err)
	}
	conn := newConn(c)
	if to.Host == "" && to.IP.Is4() == (addr[0].Code() == ma.P_IP4) { // IPv4-mapped ones become IPv4
		known(&conn.remote, c.RemoteAddr(), to.AddrPort(), &addr)
	}
	return conn, nil
}

func (t *Transport) dialIP(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	d := net.Dialer{KeepAliveConfig: t.keepAlive(), KeepAlive: t.cfg.KeepAlive}
	// DialTCP would bind the socket first, even without an address, and the kernel then looks for a port that no other
	// connection uses, to any remote. Ports of the last minute's connections count as used, and after some ten thousand
	// of them a dial takes milliseconds.
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}
