package tcp_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
	"github.com/switchyard-p2p/switchyard/transport/transporttest"
)

const onion = "vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd"

// socks is a SOCKS5 proxy (RFC 1928, RFC 1929) that leads every CONNECT to one listener.
type socks struct {
	net.Listener
	to       string // of the listener
	password string // asked for, unless ""
	refuse   byte   // the reply to CONNECT

	mu    sync.Mutex
	asked []string
}

func newSocks(t *testing.T, to string) *socks {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &socks{Listener: l, to: to}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				s.serve(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return s
}

func (s *socks) serve(c net.Conn) {
	read := func(n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(c, b)
		return b
	}
	methods := read(int(read(2)[1])) // that the client has
	switch {
	case s.password == "":
		_, _ = c.Write([]byte{5, 0})
	case bytes.IndexByte(methods, 2) < 0:
		_, _ = c.Write([]byte{5, 0xff})
		return
	default:
		_, _ = c.Write([]byte{5, 2})
		user := string(read(int(read(2)[1])))
		password := string(read(int(read(1)[0])))
		if user+":"+password != s.password {
			_, _ = c.Write([]byte{1, 1})
			return
		}
		_, _ = c.Write([]byte{1, 0})
	}
	host := ""
	switch read(4)[3] {
	case 1:
		host = netip.AddrFrom4([4]byte(read(4))).String()
	case 3:
		host = string(read(int(read(1)[0])))
	case 4:
		host = netip.AddrFrom16([16]byte(read(16))).String()
	}
	port := binary.BigEndian.Uint16(read(2))
	s.mu.Lock()
	s.asked = append(s.asked, net.JoinHostPort(host, fmt.Sprint(port)))
	s.mu.Unlock()
	out, err := net.Dial("tcp", s.to)
	if err != nil {
		return
	}
	defer out.Close()
	_, _ = c.Write([]byte{5, s.refuse, 0, 1, 127, 0, 0, 1, 0, 80})
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(out, c)
		_ = out.(*net.TCPConn).CloseWrite()
		close(done)
	}()
	_, _ = io.Copy(c, out)
	c.Close()
	<-done
}

// last returns what the proxy was asked for last, and forgets it.
func (s *socks) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) == 0 {
		return ""
	}
	last := s.asked[len(s.asked)-1]
	s.asked = nil
	return last
}

// unresolving fails the test if a name is looked up.
type unresolving struct{ t *testing.T }

func (u unresolving) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	u.t.Errorf("%s was looked up", host)
	return nil, errors.New("no")
}

// The proxy dials what is Tor's, or all, and resolves the names. Nothing else does.
func TestProxy(t *testing.T) {
	listener, err := tcp.New(tcp.Config{}).Listen(t.Context(), transporttest.Address(t, "/ip4/127.0.0.1/tcp/0"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := strings.Cut(listener.Addr().String(), "/tcp/")
	s := newSocks(t, "127.0.0.1:"+port)
	at := s.Addr().String()
	for _, c := range []struct {
		name, addr string
		cfg        tcp.Config
		asked      string // of the proxy; "" for a direct dial
		ip         string // the remote's
	}{
		{"onion3", "/onion3/" + onion + ":26656", tcp.Config{Proxy: at}, onion + ".onion:26656", ""},
		{"a name", "/dns/" + onion + ".onion/tcp/4001", tcp.Config{Proxy: "socks5://" + at}, onion + ".onion:4001", ""},
		{"others", "/ip4/127.0.0.1/tcp/" + port, tcp.Config{Proxy: at}, "", "127.0.0.1"},
		{"all: a name", "/dns/a.example/tcp/80", tcp.Config{Proxy: at, ProxyAll: true}, "a.example:80", ""},
		{"all: dns4", "/dns4/a.example/tcp/80", tcp.Config{Proxy: at, ProxyAll: true}, "a.example:80", ""},
		{"all: an IP", "/ip4/9.8.7.6/tcp/80", tcp.Config{Proxy: at, ProxyAll: true}, "9.8.7.6:80", "9.8.7.6"},
		{"all: an IPv6", "/ip6/2001:db8::1/tcp/80", tcp.Config{Proxy: at, ProxyAll: true}, "[2001:db8::1]:80",
			"2001:db8::1"},
	} {
		c.cfg.Resolver = unresolving{t}
		if err := c.cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		tr, addr := tcp.New(c.cfg), transporttest.Address(t, c.addr)
		if !tr.CanDial(addr) {
			t.Errorf("%s: cannot be dialed", c.name)
		}
		conn, err := tr.Dial(t.Context(), addr)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		accepted, _, err := listener.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := accepted.(*tcp.Conn).Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(conn.(*tcp.Conn), got); err != nil || string(got) != "hello" {
			t.Errorf("%s: read %q, %v", c.name, got, err)
		}
		if asked := s.last(); asked != c.asked {
			t.Errorf("%s: the proxy was asked for %q, want %q", c.name, asked, c.asked)
		}
		ip := ""
		if conn.RemoteIP().IsValid() {
			ip = conn.RemoteIP().String()
		}
		if ip != c.ip || conn.RemoteMultiaddr().String() != c.addr {
			t.Errorf("%s: the remote is %q, %s", c.name, ip, conn.RemoteMultiaddr())
		}
		conn.Close()
		accepted.Close()
	}
	for _, addr := range []string{"/onion3/" + onion + ":26656", "/dns/" + onion + ".onion/tcp/4001"} {
		tr := tcp.New(tcp.Config{Resolver: unresolving{t}})
		if tr.CanDial(transporttest.Address(t, addr)) {
			t.Errorf("%s can be dialed without a proxy", addr)
		}
		if _, err := tr.Dial(t.Context(), transporttest.Address(t, addr)); !errors.Is(err, transport.ErrNoTransport) {
			t.Errorf("%s without a proxy: %v", addr, err)
		}
	}
}

// A forbidden IP is not asked of the proxy; what it refuses, and that it is not there, is told as such; a dial ends
// with its context.
func TestProxyRefuses(t *testing.T) {
	s := newSocks(t, "127.0.0.1:1")
	s.refuse, s.password = 5, "user:secret"
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	s.to = target.Addr().String()
	addr := transporttest.Address(t, "/ip4/9.8.7.6/tcp/80")
	at := s.Addr().String()
	with := func(proxy string) *tcp.Transport { return tcp.New(tcp.Config{Proxy: proxy, ProxyAll: true}) }

	forbidden := errors.New("forbidden")
	ctx := transport.WithIPCheck(t.Context(), func(netip.Addr) error { return forbidden })
	if _, err := with(at).Dial(ctx, addr); !errors.Is(err, forbidden) || s.last() != "" {
		t.Errorf("a forbidden IP: %v", err)
	}
	for proxy, want := range map[string]string{
		"socks5://user:secret@" + at: "by the proxy " + at + ": unknown error connection refused",
		"socks5://user:wrong@" + at:  "by the proxy " + at + ": username/password authentication failed",
		at:                           "by the proxy " + at + ": no acceptable authentication methods",
		"127.0.0.1:1":                "by the proxy 127.0.0.1:1: connection refused",
	} {
		_, err := with(proxy).Dial(t.Context(), addr)
		var op *transport.OpError
		if !errors.As(err, &op) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", proxy, err)
		}
	}

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if c, err := silent.Accept(); err == nil {
			cancel()
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	if _, err := with(silent.Addr().String()).Dial(ctx, addr); !errors.Is(err, context.Canceled) {
		t.Errorf("a silent proxy: %v", err)
	}
	for _, bad := range []tcp.Config{{Proxy: "127.0.0.1"}, {Proxy: "http://127.0.0.1:80"}, {Proxy: ":1080"},
		{Proxy: "socks5://u:secret@/"}, {Proxy: "a:1/x"}, {Proxy: "a b:1"}, {ProxyAll: true}} {
		if err := bad.Validate(); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
