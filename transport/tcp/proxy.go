package tcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/net/proxy"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Validate returns what is wrong with Proxy and ProxyAll, if anything.
func (c Config) Validate() error {
	if c.Proxy == "" {
		if c.ProxyAll {
			return errors.New("proxy_all needs a proxy")
		}
		return nil
	}
	_, _, err := c.proxy()
	return err
}

// proxy returns where the proxy is, and what it wants to know of us, if anything.
func (c Config) proxy() (at string, auth *proxy.Auth, err error) {
	text := c.Proxy
	if !strings.Contains(text, "://") {
		text = "socks5://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "socks5" && u.Scheme != "socks5h" || u.Hostname() == "" || u.Port() == "" ||
		strings.Trim(u.Path, "/") != "" {
		return "", nil, errors.New("proxy: want HOST:PORT or socks5://USER:PASSWORD@HOST:PORT") // it may hold a secret
	}
	if u.User != nil {
		password, _ := u.User.Password()
		auth = &proxy.Auth{User: u.User.Username(), Password: password}
	}
	return u.Host, auth, nil
}

// target reads an address that can be dialed, and tells whether the proxy dials it: all with ProxyAll, else Tor's.
// Without a proxy, Tor's cannot be dialed: their names are never looked up (RFC 7686).
func (t *Transport) target(m ma.Multiaddr) (to transport.Target, proxied, ok bool) {
	to, ok = transport.ParseTarget(m, ma.P_TCP)
	onion := strings.HasSuffix(to.Host, ".onion")
	if len(m) == 1 && (m[0].Code() == ma.P_ONION3 || m[0].Code() == ma.P_ONION) {
		host, digits, _ := strings.Cut(m[0].Value(), ":")
		port, err := strconv.ParseUint(digits, 10, 16)
		to, onion, ok = transport.Target{Host: host + ".onion", Port: uint16(port)}, true, err == nil
	}
	return to, onion || t.cfg.ProxyAll, ok && (!onion || t.cfg.Proxy != "")
}

// forward dials the proxy, and keeps the connection.
type forward struct {
	net.Dialer
	conn *net.TCPConn
}

func (f *forward) DialContext(ctx context.Context, network, at string) (net.Conn, error) {
	c, err := f.Dialer.DialContext(ctx, network, at)
	if err != nil {
		return nil, err
	}
	f.conn = c.(*net.TCPConn)
	return c, nil
}

// dialProxied connects to a target through the proxy, which resolves its name.
func (t *Transport) dialProxied(ctx context.Context, to transport.Target, addr ma.Multiaddr) (*Conn, error) {
	at, auth, err := t.cfg.proxy()
	if err != nil {
		return nil, err
	}
	host := to.Host
	if host == "" {
		if err := transport.CheckIP(ctx, to.IP); err != nil {
			return nil, err
		}
		host = to.IP.String()
	}
	f := &forward{Dialer: net.Dialer{KeepAliveConfig: t.keepAlive(), KeepAlive: t.cfg.KeepAlive}}
	socks, err := proxy.SOCKS5("tcp", at, auth, f)
	if err != nil {
		return nil, err
	}
	where := net.JoinHostPort(host, strconv.Itoa(int(to.Port)))
	if _, err := socks.(proxy.ContextDialer).DialContext(ctx, "tcp", where); err != nil {
		return nil, &proxyError{at, cause(err)}
	}
	c := newConn(f.conn)
	c.proxied, c.ip = true, to.IP
	c.remote.Store(&addr)
	return c, nil
}

// cause takes away what package net puts around an error: addresses that are said anyway, names of system calls.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return cause(op.Err)
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		return call.Err
	}
	return err
}

// proxyError is what the proxy says, or why it cannot be reached.
type proxyError struct {
	at  string
	err error
}

func (e *proxyError) Error() string { return fmt.Sprintf("by the proxy %s: %v", e.at, e.err) }
func (e *proxyError) Unwrap() error { return e.err }
