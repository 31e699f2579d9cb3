package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	id     = "0123456789abcdef0123456789abcdef01234567"
	peerID = "12D3KooWEkxXeiWx88tuHU4bFiwpjGoUSk8MLHVnpYtmxTtFkXPv"
)

// zone is a resolver of what it holds.
type zone struct {
	txt  map[string][]string
	ips  map[string][]string
	asks func() // at each look-up

	mu    sync.Mutex
	count int
}

func (z *zone) ask(ctx context.Context) error {
	z.mu.Lock()
	z.count++
	z.mu.Unlock()
	if z.asks != nil {
		z.asks()
	}
	return ctx.Err()
}

func (z *zone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if err := z.ask(ctx); err != nil {
		return nil, err
	}
	records, ok := z.txt[name]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return records, nil
}

func (z *zone) LookupIPAddr(ctx context.Context, name string) (list []net.IPAddr, err error) {
	if err := z.ask(ctx); err != nil {
		return nil, err
	}
	for _, ip := range z.ips[name] {
		list = append(list, net.IPAddr{IP: net.ParseIP(ip)})
	}
	if list == nil {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return list, nil
}

func build(t *testing.T, z *zone, names ...string) *source {
	t.Helper()
	s, err := New(Config{Names: names, Interval: time.Minute}, discovery.Env{})
	if err != nil {
		t.Fatal(err)
	}
	s.(*source).resolver = z
	return s.(*source)
}

func text(all []transport.Address) string {
	var list []string
	for _, a := range all {
		list = append(list, a.String())
	}
	slices.Sort(list)
	return strings.NewReplacer(id, "ID", peerID, "PEER").Replace(strings.Join(list, " "))
}

func TestLookUp(t *testing.T) {
	z := &zone{
		txt: map[string][]string{
			"_dnsaddr.a": {"v=spf1", "dnsaddr=/ip4/1.2.3.4/tcp/1/p2p/" + peerID, "dnsaddr=/dnsaddr/b",
				"dnsaddr=/ip4/1.2.3.4/tcp/2", "dnsaddr=/nonsense/x", "dnsaddr="},
			"_dnsaddr.b": {"dnsaddr=/dnsaddr/a", "dnsaddr=/ip4/1.2.3.5/tcp/1/mconn/" + id,
				"dnsaddr=/dns4/c/udp/9/quic-v1/p2p/" + peerID},
		},
		ips: map[string][]string{"c": {"9.9.9.9", "2001:db8::9"}},
	}
	for name, want := range map[string]string{
		"/dnsaddr/a": "/ip4/1.2.3.4/tcp/1/p2p/PEER /ip4/1.2.3.5/tcp/1/mconn/ID " +
			"/ip4/9.9.9.9/udp/9/quic-v1/p2p/PEER",
		"/dnsaddr/a/p2p/" + peerID:    "/ip4/1.2.3.4/tcp/1/p2p/PEER",
		id + "@c":                     "/ip4/9.9.9.9/tcp/26656/mconn/ID /ip6/2001:db8::9/tcp/26656/mconn/ID",
		id + "@c:7":                   "/ip4/9.9.9.9/tcp/7/mconn/ID /ip6/2001:db8::9/tcp/7/mconn/ID",
		"/dns6/c/tcp/7/p2p/" + peerID: "/ip6/2001:db8::9/tcp/7/p2p/PEER",
	} {
		s := build(t, z, name)
		got, err := s.lookUp(t.Context(), s.names[0])
		if err != nil || text(got) != want {
			t.Errorf("%s: %s, %v; want %s", name, text(got), err, want)
		}
	}
	for _, absent := range []string{"/dnsaddr/d", id + "@d"} {
		s := build(t, z, absent)
		if got, err := s.lookUp(t.Context(), s.names[0]); err == nil || len(got) > 0 {
			t.Errorf("%s: %v", absent, got)
		}
	}
}

// What a hostile zone leads to stays within the bounds: wide, deep, circular, slow.
func TestBounds(t *testing.T) {
	wide := &zone{txt: map[string][]string{}, ips: map[string][]string{}}
	for i := range 1000 {
		wide.txt["_dnsaddr.wide"] = append(wide.txt["_dnsaddr.wide"],
			fmt.Sprintf("dnsaddr=/ip4/1.2.%d.%d/tcp/1/mconn/%s", i/256, i%256, id))
		wide.txt["_dnsaddr.tree"] = append(wide.txt["_dnsaddr.tree"], fmt.Sprintf("dnsaddr=/dnsaddr/tree%d", i))
		wide.txt[fmt.Sprintf("_dnsaddr.tree%d", i)] = wide.txt["_dnsaddr.wide"]
		wide.txt[fmt.Sprintf("_dnsaddr.deep%d", i)] = []string{fmt.Sprintf("dnsaddr=/dnsaddr/deep%d", i+1)}
		wide.ips["many"] = append(wide.ips["many"], fmt.Sprintf("1.2.%d.%d", i/256, i%256))
	}
	for i := range 16 {
		wide.txt["_dnsaddr.tree"][i] = fmt.Sprintf("dnsaddr=/dnsaddr/leaf%d", i)
		for j := range 16 {
			leaf := fmt.Sprintf("_dnsaddr.leaf%d", i)
			wide.txt[leaf] = append(wide.txt[leaf], fmt.Sprintf("dnsaddr=/ip4/7.%d.%d.1/tcp/1/mconn/%s", i, j, id))
		}
	}
	for name, most := range map[string]int{"/dnsaddr/wide": maxRecords, "/dnsaddr/tree": maxAddresses,
		"/dnsaddr/deep0": 0, id + "@many": transport.MaxResolved} {
		s := build(t, wide, name)
		wide.count = 0
		got, err := s.lookUp(t.Context(), s.names[0])
		if len(got) != most || wide.count > maxLookups || name == "/dnsaddr/tree" && !errors.Is(err, errTooMuch) ||
			name == "/dnsaddr/deep0" && !errors.Is(err, errTooMuch) {
			t.Errorf("%s: %d addresses by %d look-ups, %v", name, len(got), wide.count, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		slow := &zone{txt: wide.txt, asks: func() { time.Sleep(time.Second) }}
		s := build(t, slow, "/dnsaddr/tree")
		began := time.Now()
		got, _ := s.lookUp(t.Context(), s.names[0])
		if took := time.Since(began); took > timeout+time.Second || len(got) == 0 {
			t.Errorf("%d addresses after %v", len(got), took)
		}
	})
}

// Names are looked up again and again, and sooner after a failure.
func TestIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		s := build(t, z, id+"@late")
		ctx, stop := context.WithCancel(t.Context())
		var found []transport.Address
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = s.Run(ctx, nil, func(a transport.Address, _ transport.NodeID) { found = append(found, a) })
		})
		time.Sleep(50 * time.Second) // at once, after 15 s, 30 s more
		synctest.Wait()
		if z.count != 3 || len(found) != 0 {
			t.Errorf("%d look-ups", z.count)
		}
		move := func(ip string) {
			z.mu.Lock()
			defer z.mu.Unlock()
			z.ips = map[string][]string{"late": {ip}}
		}
		move("1.2.3.4")
		time.Sleep(70 * time.Second)
		synctest.Wait()
		if text(found) != "/ip4/1.2.3.4/tcp/26656/mconn/ID" {
			t.Errorf("found %s", text(found))
		}
		move("1.2.3.5")
		time.Sleep(70 * time.Second)
		synctest.Wait()
		if len(found) < 2 || !strings.Contains(found[len(found)-1].String(), "1.2.3.5") {
			t.Errorf("found %s", text(found))
		}
		stop()
		wg.Wait()
	})
}

func TestSettings(t *testing.T) {
	for _, c := range []Config{{}, {Names: make([]string, maxNames+1)}, {Names: []string{"example.com"}},
		{Names: []string{id + "@1.2.3.4:5"}}, {Names: []string{"/dns/a/tcp/1"}}, {Names: []string{"@a"}},
		{Names: []string{"/dnsaddr/a"}, Interval: -1}, {Names: []string{"/dnsaddr/a"}, Server: "dns.example"}} {
		if _, err := New(c, discovery.Env{}); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

// A real name server, asked over UDP by the resolver of Go.
func TestServer(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		buf := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply, err := answer(buf[:n]); err == nil {
				_, _ = server.WriteTo(reply, from)
			}
		}
	}()
	defer func() { _ = server.Close(); <-served }()
	src, err := New(Config{Names: []string{"/dnsaddr/net.example", id + "@host.example"},
		Server: server.LocalAddr().String()}, discovery.Env{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	var found []transport.Address
	if err := src.Run(ctx, nil, func(a transport.Address, _ transport.NodeID) {
		if found = append(found, a); len(found) == 2 {
			stop()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if want := "/ip4/1.2.3.4/tcp/1/mconn/ID /ip4/5.6.7.8/tcp/26656/mconn/ID"; text(found) != want {
		t.Errorf("found %s, want %s", text(found), want)
	}
}

// answer is what the name server of example says.
func answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil, errors.New("no question")
	}
	q := m.Questions[0]
	h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	switch {
	case q.Type == dnsmessage.TypeTXT && q.Name.String() == "_dnsaddr.net.example.":
		m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.TXTResource{
			TXT: []string{"dnsaddr=/ip4/1.2.3.4/tcp/1/mconn/" + id}}}}
	case q.Type == dnsmessage.TypeA && q.Name.String() == "host.example.":
		m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: [4]byte{5, 6, 7, 8}}}}
	}
	return m.Pack()
}

// FuzzRecords: whatever TXT records say, look-ups keep to their bounds and give addresses of nodes.
func FuzzRecords(f *testing.F) {
	f.Add("dnsaddr=/ip4/1.2.3.4/tcp/1/p2p/"+peerID, "dnsaddr=/dnsaddr/a", "a")
	f.Add("dnsaddr=/dnsaddr/a/p2p/"+peerID, "dnsaddr=/dns4/a/tcp/1/mconn/"+id, "/p2p/"+peerID)
	f.Add("dnsaddr=", "dnsaddr=/", "")
	f.Fuzz(func(t *testing.T, first, second, third string) {
		z := &zone{txt: map[string][]string{"_dnsaddr.a": {first, second, "dnsaddr=/dnsaddr/b" + third},
			"_dnsaddr.b": {second, first, "dnsaddr=" + third}}, ips: map[string][]string{"a": {"1.2.3.4", "::1"}}}
		for _, name := range []string{"/dnsaddr/a", "/dnsaddr/b/p2p/" + peerID} {
			s := build(t, z, name)
			z.count = 0
			got, _ := s.lookUp(t.Context(), s.names[0])
			if len(got) > maxAddresses || z.count > maxLookups {
				t.Fatalf("%d addresses by %d look-ups", len(got), z.count)
			}
			for _, a := range got {
				if a.ID() == "" || a.HasName() || a.Network() == "dnsaddr" {
					t.Fatalf("found %s", a)
				}
			}
		}
	})
}
