package nat

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listener is a node that listens at some addresses.
type listener []ma.Multiaddr

func (l listener) WaitListening(context.Context) error { return nil }
func (l listener) ListenAddrs() []ma.Multiaddr         { return l }

var everywhere = listener{ma.StringCast("/ip4/0.0.0.0/tcp/26656"), ma.StringCast("/ip4/0.0.0.0/udp/26657/quic-v1"),
	ma.StringCast("/ip6/::/tcp/1"), ma.StringCast("/ip4/127.0.0.1/tcp/2"), ma.StringCast("/ip4/8.8.8.8/tcp/3"),
	ma.StringCast("/ip4/0.0.0.0/tcp/26656")}

// run runs a service and returns what it publishes, and how to end it.
func run(t *testing.T, cfg Config, n node, change func(*Service)) (published chan string, stop func()) {
	t.Helper()
	published = make(chan string, 100)
	s, err := newService(cfg, n, func(all []ma.Multiaddr) {
		var text []string
		for _, m := range all {
			text = append(text, m.String())
		}
		published <- strings.Join(text, " ")
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return published, func() { cancel(); wg.Wait() }
}

// A real gateway of each kind: what is published, what the gateway holds, and that nothing is left at the end.
func TestGateways(t *testing.T) {
	for i, test := range []struct {
		name   string
		set    func(*gateway)
		by     string
		expect string
	}{
		{"pcp", func(g *gateway) { g.pcp, g.pmp, g.upnp = true, true, true }, "pcp", ""},
		{"nat-pmp", func(g *gateway) { g.pmp, g.upnp = true, true }, "nat-pmp", ""},
		{"a refusing pcp", func(g *gateway) { g.pcp, g.upnp, g.pcpCode = true, true, 2 }, "upnp", ""},
		{"upnp", func(g *gateway) { g.upnp = true }, "upnp", ""},
		{"upnp without leases", func(g *gateway) { g.upnp, g.fault = true, onlyPermanent }, "upnp", ""},
		{"carrier-grade", func(g *gateway) { g.pcp, g.external = true, netip.MustParseAddr("100.64.0.9") }, "pcp",
			"none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, byte(i+1))
			group := g.serveUPnP(t)
			g.set(func() { test.set(g) })
			published, stop := run(t, Config{Gateway: g.ip.String()}, everywhere, func(s *Service) {
				all := s.mappers
				s.mappers = func(ip netip.Addr) []mapper {
					list := all(ip)
					for _, m := range list {
						if u, ok := m.(*upnp); ok {
							u.group = group
						}
					}
					return list
				}
			})
			want := "/ip4/8.8.4.4/tcp/26656 /ip4/8.8.4.4/udp/26657/quic-v1"
			if test.expect == "none" {
				want = ""
			}
			if got := <-published; got != want {
				t.Errorf("published %q, want %q", got, want)
			}
			if got := g.state(); got != "map[tcp/26656:26656 udp/26657:26657]" {
				t.Errorf("mapped: %s", got)
			}
			stop()
			if got := g.state(); got != "map[]" {
				t.Errorf("left behind: %s", got)
			}
			if got := <-published; got != "" {
				t.Errorf("published at the end: %q", got)
			}
			for _, r := range g.requests {
				if !strings.HasPrefix(r, test.by+" ") {
					t.Errorf("a request by %s", r)
				}
			}
		})
	}
}

// A port that another device has costs a wish, not the mapping.
func TestConflict(t *testing.T) {
	g := newGateway(t, 40)
	group := g.serveUPnP(t)
	g.set(func() { g.upnp, g.taken = true, "26656" })
	u := &upnp{gateway: g.ip, group: group}
	m, err := u.mapPort(t.Context(), port{number: 26656}, 26656, time.Hour)
	if err != nil || m.external.Port() == 26656 || m.external.Port() < 1024 {
		t.Errorf("%v, %v", m, err)
	}
}

// Anybody answers a search of UPnP: only the gateway is believed, and only if it leads to itself.
func TestUPnPBelievesTheGatewayAlone(t *testing.T) {
	g := newGateway(t, 50)
	group := g.serveUPnP(t)
	liar := newGateway(t, 51)
	for _, lead := range []string{"http://192.0.2.1/root.xml", "https://" + g.ip.String() + "/", "file:///etc/passwd",
		"http://gateway.example/", "http://" + liar.ip.String() + ":1/", ":"} {
		if where := location([]byte("HTTP/1.1 200 OK\r\nLOCATION: "+lead+"\r\n\r\n"), g.ip); where != nil {
			t.Errorf("%s leads to %s", lead, where)
		}
	}
	g.set(func() { g.upnp = true })
	u := &upnp{gateway: liar.ip, group: group}
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	if _, err := u.mapPort(ctx, port{number: 1}, 1, time.Hour); err == nil {
		t.Error("another device was believed")
	}
}

// fake is a mapper whose time is virtual.
type fake struct {
	life  time.Duration // that it grants
	began time.Time

	mu    sync.Mutex // guards the fields below
	fails bool
	asked []string
}

func (f *fake) name() string { return "fake" }

func (f *fake) mapPort(_ context.Context, at port, wish uint16, life time.Duration) (mapping, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf("%s %d %v %v", at, wish, life, time.Since(f.began).Round(time.Second)))
	if f.fails {
		return mapping{}, errFake
	}
	return mapping{netip.AddrPortFrom(netip.MustParseAddr("8.8.4.4"), wish+1), min(life, f.life)}, nil
}

// Mappings are renewed at half of their life, published until it ends where that fails, asked for again at growing
// intervals, and deleted at the end.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{life: 20 * time.Minute, began: time.Now()}
		published, stop := run(t, Config{Gateway: "192.0.2.1"}, everywhere[:1],
			func(s *Service) { s.mappers = func(netip.Addr) []mapper { return []mapper{f} } })
		expect := func(after time.Duration, publish string, asked ...string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			f.mu.Lock()
			defer f.mu.Unlock()
			got := "-"
			for len(published) > 0 {
				got = <-published
			}
			if got != publish || !slices.Equal(f.asked, asked) {
				t.Errorf("after %v: published %q, want %q; asked %q, want %q", time.Since(f.began), got, publish,
					f.asked, asked)
			}
			f.asked = nil
		}
		const here, there = "/ip4/8.8.4.4/tcp/26657", "/ip4/8.8.4.4/tcp/26658"
		expect(time.Second, here, "tcp/26656 26656 1h0m0s 0s")
		expect(10*time.Minute, there, "tcp/26656 26657 1h0m0s 10m0s")
		fails := func(yes bool) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.fails = yes
		}
		fails(true)
		expect(10*time.Minute, "-", "tcp/26656 26658 1h0m0s 20m0s")
		expect(time.Minute, "-", "tcp/26656 26658 1h0m0s 21m0s")
		expect(8*time.Minute, "-", "tcp/26656 26658 1h0m0s 23m0s", "tcp/26656 26658 1h0m0s 27m0s")
		expect(6*time.Minute, "", "tcp/26656 26658 1h0m0s 35m0s") // its life has ended
		fails(false)
		expect(20*time.Minute, here, "tcp/26656 26656 1h0m0s 51m0s")
		stop()
		if last := f.asked[len(f.asked)-1]; !strings.HasPrefix(last, "tcp/26656 26657 0s ") || len(f.asked) != 1 {
			t.Errorf("at the end: %q", f.asked)
		}
	})
}

// A node that listens nowhere that a gateway could reach asks nobody.
func TestNothingToMap(t *testing.T) {
	published, stop := run(t, Config{Gateway: "192.0.2.1"}, everywhere[2:5],
		func(s *Service) { s.gateway = func() (netip.Addr, error) { panic("asked") } })
	stop()
	if len(published) > 0 {
		t.Error("something was published")
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []Config{{Gateway: "gateway"}, {Gateway: "::1"}, {Lifetime: time.Second},
		{Lifetime: 48 * time.Hour},
		{Protocols: []string{"pcp", "pcp"}}, {Protocols: []string{"stun"}}} {
		if c.Validate() == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
}

func TestRoutes(t *testing.T) {
	const table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\t0107A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n" +
		"eth1\t00000000\t0108A8C0\t0003\t0\t0\t50\t00000000\t0\t0\t0\n" +
		"eth2\t00000000\t0109A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0\n" +
		"eth0\t0007A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
	ip, ok := parseRoutes([]byte(table))
	if want := [2]string{"192.168.8.1", "1.8.168.192"}; !ok || !slices.Contains(want[:], ip.String()) { // by byte order
		t.Errorf("%v, %v", ip, ok)
	}
	if _, ok := parseRoutes(nil); ok {
		t.Error("a gateway of nothing")
	}
}

// FuzzPCP: no answer of a gateway breaks the reader, and what it reads is what was written.
func FuzzPCP(f *testing.F) {
	m := pcpMapping{client: netip.MustParseAddr("10.0.0.2"), nonce: [pcpNonce]byte{1, 2, 3}, udp: true, internal: 7,
		external: netip.MustParseAddrPort("8.8.4.4:9"), lifetime: time.Hour}
	answer := m.appendRequest(nil)
	answer[1] |= pcpResponse
	f.Add(answer)
	f.Add([]byte{0, 0x81, 0, 1, 0, 0, 0, 1})
	f.Add([]byte{2, 0x81, 0, 8, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parsePCP(b)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an empty error")
			}
			return
		}
		if got.lifetime < 0 || !got.external.Addr().IsValid() {
			t.Fatalf("%+v", got)
		}
		got.client = netip.IPv6Unspecified()
		again := got.appendRequest(nil)
		again[1] |= pcpResponse
		if second, err := parsePCP(again); err != nil || second.nonce != got.nonce || second.internal != got.internal ||
			second.udp != got.udp || second.lifetime != got.lifetime || second.external.Port() != got.external.Port() {
			t.Fatalf("%+v again: %+v, %v", got, second, err)
		}
	})
}

func FuzzRoutes(f *testing.F) {
	f.Add([]byte("a\n eth0 00000000 0107A8C0 0003 0 0 100 00000000 0 0 0\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if ip, ok := parseRoutes(text); ok != ip.IsValid() || ok && ip.IsUnspecified() {
			t.Fatal(ip, ok)
		}
	})
}
