package mdns

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	id     = "0123456789abcdef0123456789abcdef01234567"
	peerID = "12D3KooWEkxXeiWx88tuHU4bFiwpjGoUSk8MLHVnpYtmxTtFkXPv"
)

// network is a node that listens at some addresses.
type network struct {
	discovery.Network
	self   string
	listen []ma.Multiaddr
}

func (n *network) Self() transport.NodeID      { return transport.NodeID(n.self) }
func (n *network) ListenAddrs() []ma.Multiaddr { return n.listen }

func (n *network) SelfAddresses() []transport.Address { // as listen.external makes them
	var out []transport.Address
	for _, text := range []string{n.self + "@9.9.9.9:1", "/ip4/9.9.9.9/tcp/1/p2p/" + peerID,
		"/ip4/9.9.9.9/udp/1/quic-v1/p2p/" + peerID} {
		a, err := transport.ParseAddress(text)
		if err != nil {
			panic(err)
		}
		out = append(out, a)
	}
	return out
}

func TestRecords(t *testing.T) {
	n := &network{self: id, listen: []ma.Multiaddr{ma.StringCast("/ip4/192.168.7.1/tcp/26656"),
		ma.StringCast("/ip4/127.0.0.1/tcp/7"), ma.StringCast("/ip4/192.168.7.1/udp/26656/quic-v1"),
		ma.StringCast("/ip6/fe80::1/tcp/26656")}}
	s := &source{}
	ips, records := s.records(n)
	got := strings.NewReplacer(id, "ID", peerID, "PEER").Replace(strings.Join(records, " "))
	want := "dnsaddr=/ip4/192.168.7.1/tcp/26656/p2p/PEER dnsaddr=/ip4/192.168.7.1/udp/26656/quic-v1/p2p/PEER " +
		"switchyard=/ip4/192.168.7.1/tcp/26656/mconn/ID"
	if got != want || strings.Join(ips, " ") != "192.168.7.1" {
		t.Errorf("%v %s", ips, got)
	}
	s.cfg.Loopback = true
	if _, records := s.records(n); len(records) != 5 || !strings.Contains(records[1], "127.0.0.1") {
		t.Errorf("with loopback: %v", records)
	}
	for i := range 200 {
		n.listen = append(n.listen, ma.StringCast(fmt.Sprintf("/ip4/10.0.0.%d/tcp/26656", i)))
	}
	_, records = s.records(n)
	if size := len(strings.Join(records, "")); len(records) > maxRecords || size > maxText || len(records) < 8 {
		t.Errorf("%d records of %d bytes", len(records), size)
	}
}

func TestParse(t *testing.T) {
	s := &source{}
	here := &nearby{networks: []netip.Prefix{netip.MustParsePrefix("8.8.8.0/24")}, read: time.Now()}
	records := []string{
		"dnsaddr=/ip4/192.168.1.2/tcp/1/p2p/" + peerID,
		"dnsaddr=/ip4/192.168.1.2/tcp/1/p2p/" + peerID, // twice
		"dnsaddr=/ip4/192.168.1.2/udp/1/quic-v1/p2p/" + peerID,
		"dnsaddr=/ip4/8.8.8.8/tcp/1/p2p/" + peerID,   // on our link
		"dnsaddr=/ip4/8.8.4.4/tcp/1/p2p/" + peerID,   // elsewhere
		"dnsaddr=/ip4/127.0.0.1/tcp/1/p2p/" + peerID, // here
		"dnsaddr=/ip6/fe80::1/tcp/1/p2p/" + peerID,   // no zone
		"dnsaddr=/ip4/10.0.0.1/tcp/0/p2p/" + peerID,
		"dnsaddr=/dns/a.local/tcp/1/p2p/" + peerID,
		"dnsaddr=/ip4/10.0.0.1/tcp/1", "dnsaddr=", "x", "",
		"dnsaddr=/ip4/10.0.0.1/tcp/1/mconn/" + id, // us
	}
	got := parse(records, id, s.near(here))
	if own := parse([]string{ownPrefix + "/ip4/10.0.0.1/tcp/1/mconn/" + id}, "", s.near(here)); len(own) != 1 {
		t.Errorf("another wire: %v", own)
	}
	if len(got) != 3 || got[2].Host() != "8.8.8.8" {
		t.Errorf("%v", got)
	}
	s.cfg.Loopback = true
	if got := parse(records, "", s.near(here)); len(got) != 5 {
		t.Errorf("with loopback: %v", got)
	}
	if got := parse(append(make([]string, maxRecords), records...), "", s.near(here)); len(got) != 0 {
		t.Errorf("beyond the bound: %v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("dnsaddr=/ip4/192.168.1.2/tcp/1/p2p/"+peerID, "dnsaddr=/ip6/fd00::1/udp/1/quic-v1/p2p/"+peerID)
	f.Add("dnsaddr=/ip4/127.0.0.1/tcp/1/mconn/"+id, "dnsaddr="+id+"@10.0.0.1:1")
	f.Add("dnsaddr=/dnsaddr/a", `dnsaddr=/ip4/10.0.0.1/tcp/1\032/p2p/`)
	f.Fuzz(func(t *testing.T, first, second string) {
		s, here := &source{}, &nearby{}
		for _, a := range parse([]string{first, second}, id, s.near(here)) {
			ip, ok := a.IP()
			if !ok || !ip.Unmap().IsPrivate() || a.ID() == "" || a.ID() == id || a.Port() == 0 {
				t.Fatalf("%q, %q: %s", first, second, a)
			}
		}
	})
}
