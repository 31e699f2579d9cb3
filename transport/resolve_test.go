package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

type fakeResolver struct {
	ips []netip.Addr
	err error
}

func (r fakeResolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return r.ips, r.err
}

var _ Resolver = (*net.Resolver)(nil)

func TestResolve(t *testing.T) {
	ip := netip.MustParseAddr
	mixed := []netip.Addr{ip("1.2.3.4"), ip("::ffff:1.2.3.4"), ip("2001:db8::1"), ip("fe80::1%eth0"), {}, ip("1.2.3.5")}
	var many []netip.Addr
	for i := range 1000 {
		many = append(many, netip.AddrFrom4([4]byte{1, 2, byte(i >> 8), byte(i)}))
	}
	for _, test := range []struct {
		network string
		found   []netip.Addr
		want    string
	}{
		{"ip", mixed, "[1.2.3.4 2001:db8::1 fe80::1 1.2.3.5]"},
		{"ip4", mixed, "[1.2.3.4 1.2.3.5]"},
		{"ip6", mixed, "[2001:db8::1 fe80::1]"},
		{"ip", many, fmt.Sprint(many[:MaxResolved])},
	} {
		ips, err := Resolve(t.Context(), fakeResolver{ips: test.found}, test.network, "a.example")
		if got := fmt.Sprint(ips); err != nil || got != test.want {
			t.Errorf("%s: %s, %v; want %s", test.network, got, err, test.want)
		}
	}
	if _, err := Resolve(t.Context(), fakeResolver{}, "ip6", "a.example"); err == nil ||
		err.Error() != `resolve "a.example": no ip6 address` {
		t.Errorf("no address: %v", err)
	}
	broken := errors.New("broken")
	if _, err := Resolve(t.Context(), fakeResolver{err: broken}, "ip", "a.example"); !errors.Is(err, broken) ||
		!strings.Contains(err.Error(), "a.example") {
		t.Errorf("a failing resolver: %v", err)
	}
}

func TestOpError(t *testing.T) {
	addr := ma.StringCast("/ip4/1.2.3.4/tcp/1")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	inUse := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	for _, test := range []struct {
		ctx  context.Context
		err  error
		want string
		is   error
	}{
		{t.Context(), inUse, "listen on /ip4/1.2.3.4/tcp/1: address already in use", syscall.EADDRINUSE},
		{t.Context(), &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded},
			"listen on /ip4/1.2.3.4/tcp/1: context deadline exceeded", context.DeadlineExceeded},
		{t.Context(), ErrListenerClosed, "listen on /ip4/1.2.3.4/tcp/1: listener closed", ErrListenerClosed},
		{ended, inUse, "listen on /ip4/1.2.3.4/tcp/1: context canceled", context.Canceled},
	} {
		err := NewOpError(test.ctx, "listen on", addr, test.err)
		if err.Error() != test.want || !errors.Is(err, test.is) {
			t.Errorf("%v; want %q", err, test.want)
		}
	}
}

func TestTCPMultiaddr(t *testing.T) {
	for in, want := range map[string]string{
		"1.2.3.4:26656":          "/ip4/1.2.3.4/tcp/26656",
		"[2001:db8::1]:1":        "/ip6/2001:db8::1/tcp/1",
		"[::ffff:1.2.3.4]:65535": "/ip4/1.2.3.4/tcp/65535",
		"[fe80::1%eth0]:1":       "/ip6/fe80::1/tcp/1",
	} {
		ap := netip.MustParseAddrPort(in)
		m := TCPMultiaddr(ap)
		if m.String() != want {
			t.Errorf("%s is %s", in, m)
		}
		if q := QUICMultiaddr(ap); q.String() != strings.Replace(want, "/tcp/", "/udp/", 1)+"/quic-v1" {
			t.Errorf("%s is %s", in, q)
		}
		if ip, ok := MultiaddrIP(m); !ok || ip != ap.Addr().Unmap().WithZone("") {
			t.Errorf("the IP of %s is %s", m, ip)
		}
		if got := AddrPortOf(net.TCPAddrFromAddrPort(ap)); got.Port() != ap.Port() || got.Addr() != ap.Addr().Unmap() {
			t.Errorf("%s is %s", in, got)
		}
	}
	if m := TCPMultiaddr(netip.AddrPort{}); m != nil {
		t.Errorf("no address is %s", m)
	}
	if ip, ok := MultiaddrIP(ma.StringCast("/memory/1")); ok {
		t.Errorf("/memory/1 has the IP %s", ip)
	}
	if ip, ok := MultiaddrIP(nil); ok {
		t.Errorf("no multiaddr has the IP %s", ip)
	}
	if ap := AddrPortOf(&net.UnixAddr{}); ap.IsValid() {
		t.Errorf("a Unix socket is %s", ap)
	}
}
