package tcp_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
	"github.com/switchyard-p2p/switchyard/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSuite(t *testing.T) {
	for _, listen := range []string{"/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0"} {
		t.Run(strings.Split(listen, "/")[1], func(t *testing.T) {
			transporttest.Run(t, func(t *testing.T) transporttest.Env {
				tr := tcp.New(tcp.Config{Resolver: transporttest.Names{}})
				return transporttest.Env{
					Dialer: tr, Listener: tr,
					Listen:  transporttest.Address(t, listen),
					Foreign: transporttest.Address(t, "/ip4/127.0.0.1/udp/4001/quic-v1"),
					Hangs:   transporttest.Address(t, "/dns/no-answer.example/tcp/1"),
				}
			})
		})
	}
}

// TestNames dials host names: several addresses, of which only some answer.
func TestNames(t *testing.T) {
	listener, err := tcp.New(tcp.Config{}).Listen(t.Context(), transporttest.Address(t, "/ip4/127.0.0.1/tcp/0"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := strings.Cut(listener.Addr().String(), "/tcp/")
	tr := tcp.New(tcp.Config{Resolver: transporttest.Names{
		"good.example": {netip.MustParseAddr("127.0.0.1")},
		"mixed.example": {netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("::1"),
			netip.MustParseAddr("::ffff:127.0.0.1")},
		"bad.example":  {netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("::1")},
		"none.example": nil,
	}})
	for _, test := range []struct{ addr, want string }{ // want: part of the error
		{"/dns/good.example/tcp/", ""},
		{"/dns4/good.example/tcp/", ""},
		{"/dns6/good.example/tcp/", "no ip6 address"},
		{"/dns/mixed.example/tcp/", ""},
		{"/dns4/mixed.example/tcp/", ""},
		{"/dns6/mixed.example/tcp/", "connection refused"},
		{"/dns/bad.example/tcp/", "::1: connection refused; 127.0.0.2: connection refused"},
		{"/dns/none.example/tcp/", "resolve \"none.example\": no ip address"},
	} {
		addr := transporttest.Address(t, test.addr+port)
		c, err := tr.Dial(t.Context(), addr)
		if err == nil {
			if test.want != "" {
				t.Errorf("Dial(%s) succeeds", addr)
			}
			accepted, _, err := listener.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			accepted.Close()
			c.Close()
			continue
		}
		if test.want == "" || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Dial(%s): %v; want %q", addr, err, test.want)
		}
	}
}

func TestKeepsItsForm(t *testing.T) {
	tr := tcp.New(tcp.Config{})
	for addr, want := range map[string]bool{
		"/ip4/1.2.3.4/tcp/1": true, "/ip6/::1/tcp/1": true, "/dns/a.example/tcp/1": true, "/dns4/a.example/tcp/1": true,
		"/dns6/a.example/tcp/1": true, "/ip4/1.2.3.4/tcp/1/tls/ws": false, "/ip4/1.2.3.4/udp/1": false,
		"/memory/1":          false,
		"/dnsaddr/a.example": false,
	} {
		if got := tr.CanDial(transporttest.Address(t, addr)); got != want {
			t.Errorf("CanDial(%s) is %v", addr, got)
		}
	}
	if _, err := tr.Dial(t.Context(), transporttest.Address(t, "/ip4/127.0.0.1/tcp/0")); err == nil {
		t.Error("port 0 was dialed")
	}
	_, err := tr.Listen(t.Context(), transporttest.Address(t, "/dns/localhost/tcp/0"), nil)
	if err == nil || !strings.Contains(err.Error(), "listen on /dns/localhost/tcp/0: want an IP address") {
		t.Errorf("Listen on a name: %v", err)
	}
	_, err = tr.Listen(t.Context(), transporttest.Address(t, "/ip4/192.0.2.1/tcp/0"), nil)
	if err == nil || !strings.Contains(err.Error(), "listen on /ip4/192.0.2.1/tcp/0: cannot assign requested address") {
		t.Errorf("Listen on another's address: %v", err)
	}
}

// TestBothFamilies: /ip4/0.0.0.0 and /ip6/:: share a port.
func TestBothFamilies(t *testing.T) {
	tr := tcp.New(tcp.Config{})
	four, err := tr.Listen(t.Context(), transporttest.Address(t, "/ip4/0.0.0.0/tcp/0"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer four.Close()
	_, port, _ := strings.Cut(four.Addr().String(), "/tcp/")
	six, err := tr.Listen(t.Context(), transporttest.Address(t, "/ip6/::/tcp/"+port), nil)
	if err != nil {
		t.Fatal(err)
	}
	six.Close()
}

// TestConnIsTCP: what the net package does for a *net.TCPConn still holds for a Conn.
func TestConnIsTCP(t *testing.T) {
	var c any = &tcp.Conn{}
	if _, ok := c.(interface{ CloseWrite() error }); !ok {
		t.Error("no CloseWrite")
	}
	if _, ok := c.(interface {
		SetLinger(int) error
		SetNoDelay(bool) error
	}); !ok {
		t.Error("no socket options")
	}
}

func BenchmarkSetup(b *testing.B) {
	tr := tcp.New(tcp.Config{})
	l, err := tr.Listen(b.Context(), transporttest.Address(b, "/ip4/127.0.0.1/tcp/0"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.ReportAllocs()
	for b.Loop() {
		c, err := tr.Dial(b.Context(), l.Addr())
		if err != nil {
			b.Fatal(err)
		}
		d, _, err := l.Accept(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		c.(*tcp.Conn).SetLinger(0) // leave no TIME_WAIT behind
		c.Close()
		d.Close()
	}
}

var _ net.Conn = (*tcp.Conn)(nil)

// The multiaddrs of a connection are those of its sockets, also where they were known before.
func TestMultiaddrs(t *testing.T) {
	tr := tcp.New(tcp.Config{})
	for listen, dial := range map[string]string{"127.0.0.1": "/ip4/127.0.0.1", "0.0.0.0": "/ip4/127.0.0.1",
		"127.0.0.2": "/ip6/::ffff:127.0.0.2"} {
		l, err := tr.Listen(t.Context(), transporttest.Address(t, "/ip4/"+listen+"/tcp/0"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := strings.Cut(l.Addr().String(), "/tcp/")
		out, err := tr.Dial(t.Context(), transporttest.Address(t, dial+"/tcp/"+port))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		in, _, err := l.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		ours, theirs := out.(*tcp.Conn), in.(*tcp.Conn)
		for _, end := range []struct {
			what      string
			got, want ma.Multiaddr
		}{
			{"the dialer's", ours.LocalMultiaddr(), transport.TCPMultiaddr(transport.AddrPortOf(ours.LocalAddr()))},
			{"the dialer's remote", ours.RemoteMultiaddr(),
				transport.TCPMultiaddr(transport.AddrPortOf(ours.RemoteAddr()))},
			{"the listener's", theirs.LocalMultiaddr(),
				transport.TCPMultiaddr(transport.AddrPortOf(theirs.LocalAddr()))},
			{"the listener's remote", theirs.RemoteMultiaddr(),
				transport.TCPMultiaddr(transport.AddrPortOf(theirs.RemoteAddr()))},
		} {
			if !end.got.Equal(end.want) {
				t.Errorf("listening on %s, dialing %s: %s is %s, want %s", listen, dial, end.what, end.got, end.want)
			}
		}
	}
}
