package comet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/transport"
)

// nowhere is the listen address of a node that cannot be dialed over TCP: CometBFT requires the form, and does not
// store this address.
const nowhere = "0.0.0.0:0"

// maxListen bounds a remote's listen address, in bytes: a host name of 253 and a port, with some room.
const maxListen = 300

// checkListen checks the form of a remote's listen address as CometBFT does (p2p/netaddress.go), except that it does
// not resolve a name: a stranger could choose which name server we ask, and how long that takes. The result is
// host:port, without a protocol in front.
func checkListen(s string) (string, error) {
	bad := func(why string) (string, error) { return "", refuse("listen address %.60q: %s", s, why) }
	if len(s) > maxListen {
		return bad("longer than " + strconv.Itoa(maxListen) + " bytes")
	}
	where := s
	if _, after, ok := strings.Cut(s, "://"); ok {
		where = after
	}
	host, port, err := net.SplitHostPort(where)
	var ae *net.AddrError
	switch {
	case errors.As(err, &ae):
		return bad(ae.Err)
	case host == "":
		return bad("it has no host")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return bad("the port is not a number from 0 to 65535")
	}
	for i := range len(host) { // the characters of IPv4, IPv6 and names
		c := host[i]
		isAlphanumeric := c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
		if !isAlphanumeric && !strings.ContainsRune(".-_:%", rune(c)) {
			return bad("the host is neither an IP address nor a name")
		}
	}
	return where, nil
}

// ownInfo returns our node info, encoded for the remote of this attempt.
func (w *Wire) ownInfo(ctx context.Context, a *handshake.Attempt) ([]byte, error) {
	if err := a.Local.Validate(); err != nil {
		var r *handshake.Refusal
		if errors.As(err, &r) {
			return nil, errors.New(r.Reason)
		}
		return nil, err
	}
	listen, at := w.ownListen(ctx, a)
	a.Local.Also = slices.Clone(a.Local.Listen)
	if at >= 0 {
		a.Local.Also = slices.Delete(a.Local.Also, at, at+1)
	}
	return encodeInfo(&a.Local, listen)
}

// ownListen returns the first of our addresses that a comet node can use, as host:port, and its place among them, -1 if
// there is none. It replaces an unspecified IP by the one at which this remote reaches us, and a name by its IP.
func (w *Wire) ownListen(ctx context.Context, a *handshake.Attempt) (listen string, at int) {
	for i, text := range a.Local.Listen {
		addr, err := transport.ParseAddress(text)
		if err != nil || addr.Network() != "tcp" {
			continue
		}
		ip, ok := addr.IP()
		if !ok {
			if ip, err = w.names.resolve(ctx, addr.Host()); err != nil {
				continue
			}
		}
		if ip.IsUnspecified() {
			local := localIP(a.Conn.LocalMultiaddr())
			if local.Is4() == ip.Is4() || ip.Is6() && local.IsValid() { // [::] listens for both
				ip = local
			}
		}
		return netip.AddrPortFrom(ip.WithZone(""), uint16(addr.Port())).String(), i
	}
	return nowhere, -1
}

// localIP returns the IP of our end of a connection; not valid if it has none.
func localIP(m ma.Multiaddr) netip.Addr {
	for i := range m {
		switch m[i].Code() {
		case ma.P_IP4, ma.P_IP6:
			ip, _ := netip.AddrFromSlice(m[i].RawValue())
			return ip.Unmap()
		}
	}
	return netip.Addr{}
}

// names remembers the IPs of our own host names, so that a handshake does not wait for a name server each time.
type names struct {
	resolver transport.Resolver

	mu    sync.Mutex
	known map[string]name
}

type name struct {
	ip    netip.Addr
	err   error
	until time.Time
}

const (
	nameLife    = time.Minute
	nameRetry   = 5 * time.Second // after a failure
	nameTimeout = 2 * time.Second // of the handshake's 5
	maxNames    = 64              // our own names are few; this only keeps a mistake from growing
)

func (n *names) resolve(ctx context.Context, host string) (netip.Addr, error) {
	n.mu.Lock()
	have, ok := n.known[host]
	n.mu.Unlock()
	if ok && time.Now().Before(have.until) {
		return have.ip, have.err
	}
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	ips, err := transport.Resolve(ctx, n.resolver, "ip", host)
	got := name{err: err, until: time.Now().Add(nameLife)}
	switch {
	case err == nil:
		got.ip = ips[0]
	case ok && have.err == nil: // the name server is away: the last answer is better than none
		got.ip, got.err = have.ip, nil
	default:
		got.until = time.Now().Add(nameRetry)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil || len(n.known) >= maxNames {
		n.known = make(map[string]name)
	}
	n.known[host] = got
	return got.ip, got.err
}
