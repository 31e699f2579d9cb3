package transport

import (
	"encoding"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	hexID = "00112233445566778899aabbccddeeff00112233"
	hexUp = "00112233445566778899AABBCCDDEEFF00112233"
	// of the ed25519 key of 32 zero bytes
	edPeer = "12D3KooW9pNAk8aiBuGVQtWRdbkLmo5qVL3e2h5UxbN2Nz9ttwiw"
	edCID  = "bafzaajaiaejcaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	edID   = "66687aadf862bd776c8fc18b8e9f8e2008971485" // SHA-256 of 32 zero bytes, its first 20
	// of other keys (libp2p/specs, peer-ids)
	rsaPeer  = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
	rsaCID   = "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe"
	secpPeer = "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY"
	onion3   = "vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd"
)

// TestParseAddress: what every accepted form becomes.
func TestParseAddress(t *testing.T) {
	for _, test := range []struct {
		in, text string // text "" means as in
		id       NodeID
		wire     string
		comet    string // CometString
	}{
		// multiaddrs
		{in: "/ip4/1.2.3.4/tcp/26656/mconn/" + hexID, id: hexID, wire: WireComet, comet: hexID + "@1.2.3.4:26656"},
		{in: "/ip4/1.2.3.4/tcp/26656/mconn/" + hexUp, text: "/ip4/1.2.3.4/tcp/26656/mconn/" + hexID, id: hexID,
			wire: WireComet, comet: hexID + "@1.2.3.4:26656"},
		{in: "/ip4/1.2.3.4/tcp/26656", comet: "1.2.3.4:26656"},
		{in: "/ip4/1.2.3.4/tcp/00080", text: "/ip4/1.2.3.4/tcp/80", comet: "1.2.3.4:80"},
		{in: "/ip6/2001:DB8:0:0::1/tcp/1/mconn/" + hexID, text: "/ip6/2001:db8::1/tcp/1/mconn/" + hexID, id: hexID,
			wire: WireComet, comet: hexID + "@[2001:db8::1]:1"},
		{in: "/ip6/::ffff:1.2.3.4/tcp/1", text: "/ip4/1.2.3.4/tcp/1", comet: "1.2.3.4:1"},
		{in: "/ip6/::ffff:102:304/tcp/1", text: "/ip4/1.2.3.4/tcp/1", comet: "1.2.3.4:1"},
		{in: "/ip6/::1.2.3.4/tcp/1", text: "/ip6/::102:304/tcp/1", comet: "[::102:304]:1"},
		{in: "/dns4/Seed-1.Example.COM/tcp/26656", text: "/dns4/seed-1.example.com/tcp/26656",
			comet: "seed-1.example.com:26656"},
		{in: "/dns6/a.example./tcp/1", text: "/dns6/a.example/tcp/1", comet: "a.example:1"},
		{in: "/dns/localhost/tcp/1/mconn/" + hexID, id: hexID, wire: WireComet, comet: hexID + "@localhost:1"},
		{in: "/dns/node_0.xn--bcher-kva.example/tcp/1", comet: "node_0.xn--bcher-kva.example:1"},
		{in: "/ip4/1.2.3.4/tcp/4001/p2p/" + edPeer, id: edID, wire: WireLibp2p},
		{in: "/ip4/1.2.3.4/tcp/4001/ipfs/" + edPeer, text: "/ip4/1.2.3.4/tcp/4001/p2p/" + edPeer, id: edID,
			wire: WireLibp2p},
		{in: "/ip4/1.2.3.4/tcp/4001/p2p/" + edCID, text: "/ip4/1.2.3.4/tcp/4001/p2p/" + edPeer, id: edID,
			wire: WireLibp2p},
		{in: "/ip4/1.2.3.4/tcp/4001/p2p/" + rsaPeer, id: rsaPeer, wire: WireLibp2p},
		{in: "/ip4/1.2.3.4/tcp/4001/p2p/" + rsaCID, text: "/ip4/1.2.3.4/tcp/4001/p2p/" + rsaPeer, id: rsaPeer,
			wire: WireLibp2p},
		{in: "/ip4/1.2.3.4/tcp/4001/p2p/" + secpPeer, id: secpPeer, wire: WireLibp2p},
		{in: "/ip4/1.2.3.4/udp/4001/quic-v1/p2p/" + edPeer, id: edID, wire: WireLibp2p},
		{in: "/ip4/1.2.3.4/udp/4001/quic-v1"},
		{in: "/ip4/1.2.3.4/udp/4001/quic-v1/webtransport"},
		{in: "/ip4/1.2.3.4/tcp/443/tls/sni/a.example/ws/p2p/" + edPeer, id: edID, wire: WireLibp2p},
		{in: "/memory/7"},
		{in: "/memory/007/mconn/" + hexID, text: "/memory/7/mconn/" + hexID, id: hexID, wire: WireComet},
		{in: "/memory/18446744073709551615/p2p/" + edPeer, id: edID, wire: WireLibp2p},
		{in: "/dnsaddr/Bootstrap.libp2p.io/p2p/" + rsaPeer, text: "/dnsaddr/bootstrap.libp2p.io/p2p/" + rsaPeer,
			id: rsaPeer, wire: WireLibp2p},
		{in: "/onion3/" + onion3 + ":1234/mconn/" + hexID, id: hexID, wire: WireComet},
		{in: "/onion3/" + strings.ToUpper(onion3) + ":1234", text: "/onion3/" + onion3 + ":1234"},
		// CometBFT's
		{in: hexID + "@1.2.3.4:26656", text: "/ip4/1.2.3.4/tcp/26656/mconn/" + hexID, id: hexID, wire: WireComet,
			comet: hexID + "@1.2.3.4:26656"},
		{in: hexUp + "@Seed.Example.COM:26656", text: "/dns/seed.example.com/tcp/26656/mconn/" + hexID, id: hexID,
			wire: WireComet, comet: hexID + "@seed.example.com:26656"},
		{in: hexID + "@[2001:db8::1]:1", text: "/ip6/2001:db8::1/tcp/1/mconn/" + hexID, id: hexID, wire: WireComet,
			comet: hexID + "@[2001:db8::1]:1"},
		{in: hexID + "@[::ffff:1.2.3.4]:1", text: "/ip4/1.2.3.4/tcp/1/mconn/" + hexID, id: hexID, wire: WireComet,
			comet: hexID + "@1.2.3.4:1"},
		{in: "1.2.3.4:26656", text: "/ip4/1.2.3.4/tcp/26656", comet: "1.2.3.4:26656"},
		{in: "localhost:1", text: "/dns/localhost/tcp/1", comet: "localhost:1"},
		// URLs
		{in: "mconn://" + hexID + "@1.2.3.4:26656", text: "/ip4/1.2.3.4/tcp/26656/mconn/" + hexID, id: hexID,
			wire: WireComet, comet: hexID + "@1.2.3.4:26656"},
		{in: "MConn://" + hexID + "@a.example:1", text: "/dns/a.example/tcp/1/mconn/" + hexID, id: hexID,
			wire: WireComet, comet: hexID + "@a.example:1"},
		{in: "tcp://" + hexID + "@1.2.3.4:1", text: "/ip4/1.2.3.4/tcp/1/mconn/" + hexID, id: hexID, wire: WireComet,
			comet: hexID + "@1.2.3.4:1"},
		{in: "tcp://0.0.0.0:26656", text: "/ip4/0.0.0.0/tcp/26656", comet: "0.0.0.0:26656"},
	} {
		a, err := ParseAddress(test.in)
		if err != nil {
			t.Errorf("ParseAddress(%q): %v", test.in, err)
			continue
		}
		want := test.text
		if want == "" {
			want = test.in
		}
		if a.String() != want || a.ID() != test.id || a.Wire() != test.wire || a.CometString() != test.comet {
			t.Errorf("ParseAddress(%q) is %q, id %q, wire %q, comet %q", test.in, a, a.ID(), a.Wire(), a.CometString())
		}
		checkAddress(t, a)
	}
}

// checkAddress checks what holds for every address.
func checkAddress(t *testing.T, a Address) {
	t.Helper()
	text := a.String()
	if again, err := ParseAddress(text); err != nil || again != a {
		t.Errorf("%q parses to %q, %v", text, again, err)
	}
	if !a.Is(a.ID()) || a.Is("") != (a.ID() == "") || !a.Is("") &&
		(a.Is(a.ID()[1:]) || a.Is(a.ID()[:len(a.ID())-1]+"!")) {
		t.Errorf("%q is of %q", text, a.ID())
	}
	if raw, ok := a.ID().Bytes(); ok {
		if raw[NodeIDSize-1]++; a.Is(NodeIDFromBytes(raw)) {
			t.Errorf("%q is of another node too", text)
		}
	}
	if appended, err := a.AppendText([]byte("x")); err != nil || string(appended) != "x"+text {
		t.Errorf("%q appended is %q, %v", text, appended, err)
	}
	if len(text) > MaxAddressText {
		t.Errorf("%q has %d bytes", text, len(text))
	}
	m, err := ma.NewMultiaddr(text) // go-multiaddr reads our text, and would write the same
	if err != nil || m.String() != text {
		t.Fatalf("%q is %q, %v to go-multiaddr", text, m, err)
	}
	dial := a.Multiaddr()
	if dial == nil {
		t.Fatalf("%q has no multiaddr", text)
	}
	if node := strings.TrimPrefix(text, dial.String()); a.ID() == "" && node != "" || a.ID() != "" &&
		!strings.HasPrefix(node, "/mconn/") && !strings.HasPrefix(node, "/p2p/") {
		t.Errorf("%q is %q to a transport", text, dial)
	}
	if b, err := NewAddress(m, ""); err != nil || b != a {
		t.Errorf("NewAddress(%q) is %q, %v", m, b, err)
	}
	if a.ID() != "" {
		node := string(a.ID())
		if a.Wire() == WireLibp2p {
			node = a.PeerID()
		}
		if b, err := NewAddress(dial, node); err != nil || b != a {
			t.Errorf("NewAddress(%q, %q) is %q, %v; want %q", dial, node, b, err, a)
		}
		if id, err := ParseNodeID(node); err != nil || id != a.ID() {
			t.Errorf("ParseNodeID(%q) is %q, %v; want %q", node, id, err, a.ID())
		}
		open, err := a.WithNode("")
		if err != nil || open.ID() != "" || open.Wire() != "" || open.String() != dial.String() {
			t.Errorf("%q without its node is %q, %v", a, open, err)
		}
	} else if a.Wire() != "" || a.PeerID() != "" {
		t.Errorf("%q has no node, but wire %q, peer id %q", a, a.Wire(), a.PeerID())
	}
	// CometBFT's form loses only which kind of DNS record is meant.
	if s := a.CometString(); s != "" {
		b, err := ParseAddress(s)
		want := strings.Replace(strings.Replace(text, "/dns4/", "/dns/", 1), "/dns6/", "/dns/", 1)
		if err != nil || b.String() != want || b.ID() != a.ID() {
			t.Errorf("%q as %q parses to %q, %v", a, s, b, err)
		}
		c, err := CometAddress(a.ID(), a.Host(), uint16(a.Port()))
		if err != nil || c != b {
			t.Errorf("CometAddress of %q is %q, %v", s, c, err)
		}
	}
	switch a.Network() {
	case "tcp", "udp":
		if a.Port() < 1 || a.Port() > 65535 || a.Host() == "" {
			t.Errorf("%q has host %q, port %d", a, a.Host(), a.Port())
		}
	}
	if ip, ok := a.IP(); ok && (ip.Is4In6() || ip.Zone() != "" || ip.String() != a.Host()) {
		t.Errorf("%q has the IP %s", a, ip)
	}
	if a.IsRoutable() && (a.IsLoopback() || a.IsPrivate()) {
		t.Errorf("%q is routable, and loopback or private", a)
	}
}

// TestRefusedAddresses: why each is refused.
func TestRefusedAddresses(t *testing.T) {
	long := strings.Repeat("a", 60) + "."
	for _, test := range []struct{ in, why string }{
		{"", "nothing"},
		{" /ip4/1.2.3.4/tcp/1", "HOST:PORT, or a multiaddr"},
		{"/", `component ""`},
		{"/ip4", `end after component "ip4"`},
		{"/ip4/", `ip4 "": want an IPv4`},
		{"/ip4/1.2.3.4", "no port"},
		{"/ip4/1.2.3.4/", `component "": want /tcp/PORT`},
		{"/ip4/1.2.3.4/tcp", `end after component "tcp"`},
		{"/ip4/1.2.3.4/tcp/", `port "": want 1 to 65535`},
		{"/ip4/1.2.3.4/tcp/0", `port "0"`},
		{"/ip4/1.2.3.4/tcp/65536", `port "65536"`},
		{"/ip4/1.2.3.4/tcp/+1", `port "+1"`},
		{"/ip4/1.2.3.4/tcp/1/", `component "": want one that`},
		{"/ip4/1.2.3.4/tcp/1//p2p/" + edPeer, `component "": want one that`},
		{"//ip4/1.2.3.4/tcp/1", `component "": want /ip4`},
		{"/IP4/1.2.3.4/tcp/1", `component "IP4": want /ip4`},
		{"/ip4/1.2.3/tcp/1", `ip4 "1.2.3"`},
		{"/ip4/01.2.3.4/tcp/1", `ip4 "01.2.3.4"`},
		{"/ip4/1.2.3.256/tcp/1", "want an IPv4"},
		{"/ip4/::1/tcp/1", "want an IPv4"},
		{"/ip4/::ffff:1.2.3.4/tcp/1", "want an IPv4"},
		{"/ip6/1.2.3.4/tcp/1", "want an IPv6"},
		{"/ip6/fe80::1%eth0/tcp/1", "without a zone"},
		{"/ip6zone/eth0/ip6/fe80::1/tcp/1", `component "ip6zone"`},
		{"/ip6/fe80::1/ip6zone/eth0/tcp/1", `component "ip6zone"`},
		{"/ip4/1.2.3.4/ipcidr/24", `component "ipcidr"`},
		{"/ip4/1.2.3.4/ip4/1.2.3.4/tcp/1", "one host only"},
		{"/ip4/1.2.3.4/tcp/1/tcp/2", "right after a host"},
		{"/ip4/1.2.3.4/tcp/1/dns/a", "one host only"},
		{"/memory/7/tcp/1", "right after a host"},
		{"/tcp/1", "right after a host"},
		{"/ip4/1.2.3.4/p2p/" + edPeer, "want /tcp/PORT"},
		{"/p2p/" + edPeer, "first"},
		{"/memory/0", `memory number "0"`},
		{"/memory/-1", `memory number "-1"`},
		{"/memory/18446744073709551616", "memory number"},
		{"/memory/x", "memory number"},
		{"/unix/tmp/socket", `component "unix"`},
		{"/ip4/1.2.3.4/tcp/1/unix/a", `component "unix"`},
		{"/ip4/1.2.3.4/tcp/1/nonsense/a", `component "nonsense"`},
		{"/ip4/1.2.3.4/tcp/1/quic-v1", "right after /udp/PORT"},
		{"/ip4/1.2.3.4/udp/1/quic-v1/quic-v1", "right after /udp/PORT"},
		{"/ip4/1.2.3.4/udp/1/mconn/" + hexID, "byte stream"},
		{"/ip4/1.2.3.4/udp/1/quic-v1/mconn/" + hexID, "byte stream"},
		{"/ip4/1.2.3.4/tcp/1/mconn", `end after component "mconn"`},
		{"/ip4/1.2.3.4/tcp/1/mconn/" + hexID[1:], "40 hex digits"},
		{"/ip4/1.2.3.4/tcp/1/mconn/" + hexID + "0", "40 hex digits"},
		{"/ip4/1.2.3.4/tcp/1/mconn/g" + hexID[1:], "40 hex digits"},
		{"/ip4/1.2.3.4/tcp/1/mconn/" + edPeer, "40 hex digits"},
		{"/ip4/1.2.3.4/tcp/1/p2p/" + hexID, "peer id"},
		{"/ip4/1.2.3.4/tcp/1/p2p/1" + edPeer, "peer id"},
		{"/ip4/1.2.3.4/tcp/1/p2p/" + edPeer[:51], "peer id"},
		{"/ip4/1.2.3.4/tcp/1/p2p/" + edPeer + "/mconn/" + hexID, "the node last"},
		{"/ip4/1.2.3.4/tcp/1/mconn/" + hexID + "/p2p/" + edPeer, "the node last"},
		{"/ip4/1.2.3.4/tcp/1/p2p/" + edPeer + "/p2p-circuit/p2p/" + rsaPeer, "relayed addresses are not supported"},
		{"/ip4/1.2.3.4/tcp/1/p2p-circuit", "relays are not supported"},
		{"/onion3/" + onion3 + ":0", "onion3"},
		{"/onion3/" + onion3[1:] + ":1", "onion3"},
		{"/dns//tcp/1", "host name"},
		{"/dns/./tcp/1", "host name"},
		{"/dns/a..b/tcp/1", "host name"},
		{"/dns/.a/tcp/1", "host name"},
		{"/dns/-a/tcp/1", "host name"},
		{"/dns/a-/tcp/1", "host name"},
		{"/dns/a-.b/tcp/1", "host name"},
		{"/dns/a b/tcp/1", "host name"},
		{"/dns/bücher.example/tcp/1", "xn--"},
		{"/dns/1.2.3.4/tcp/1", "host name"},
		{"/dns/127.1/tcp/1", "host name"},
		{"/dns/0x7f000001/tcp/1", "host name"},
		{"/dns/a.0X7f/tcp/1", "host name"},
		{"/dns/a.1234./tcp/1", "host name"},
		{"/dns/" + strings.Repeat("a", 64) + "/tcp/1", "63 bytes"},
		{"/dns/" + long + long + long + long + "aaaaaaaaaa/tcp/1", "253 bytes"},
		{"/ip4/1.2.3.4/tcp/1" + strings.Repeat("/tls", 200), "at most 512"},
		{"a.example", "HOST:PORT"},
		{hexID, "HOST:PORT"},
		{hexID + "@", "HOST:PORT"},
		{hexID + "@a.example", "HOST:PORT"},
		{hexID + "@a.example:", `port ""`},
		{hexID + "@:1", "host name"},
		{"@a.example:1", "node id before @"},
		{"a@b.example:1", `node id "a"`},
		{hexID + "@" + hexID + "@a.example:1", "host name"},
		{edPeer + "@1.2.3.4:1", "40 hex digits"},
		{hexID + "@::1:1", "in [brackets]"},
		{hexID + "@[1.2.3.4]:1", "in brackets, or none"},
		{hexID + "@[a.example]:1", "in brackets, or none"},
		{hexID + "@[::1]", "IPv6"},
		{hexID + "@[fe80::1%eth0]:1", "without a zone"},
		{hexID + "@1.2.3.4:0", `port "0"`},
		{hexID + "@1.2.3.4:99999", `port "99999"`},
		{hexID + "@a.example:1,b.example:2", "in [brackets]"},
		{"udp://" + hexID + "@1.2.3.4:1", `scheme "udp"`},
		{"http://1.2.3.4:1", `scheme "http"`},
		{"mconn://", "HOST:PORT"},
		{"mconn://" + hexID + "@1.2.3.4:1/", "port"},
		{"mconn://tcp://1.2.3.4:1", "in [brackets]"},
		{"\x00", "HOST:PORT"},
	} {
		a, err := ParseAddress(test.in)
		var typed *AddressError
		switch {
		case err == nil:
			t.Errorf("ParseAddress(%q) is %q", test.in, a)
		case !errors.As(err, &typed) || !strings.Contains(err.Error(), test.why):
			t.Errorf("ParseAddress(%q): %v; want %q", test.in, err, test.why)
		case strings.ContainsAny(err.Error(), "\n\x00"), len(err.Error()) > 700:
			t.Errorf("ParseAddress(%q): the error is not one short line: %v", test.in, err)
		case a != Address{}:
			t.Errorf("ParseAddress(%q) is %q with an error", test.in, a)
		}
	}
}

func TestParseListen(t *testing.T) {
	for in, want := range map[string]string{
		"/ip4/0.0.0.0/tcp/0":                "/ip4/0.0.0.0/tcp/0",
		"/ip6/::/udp/0/quic-v1":             "/ip6/::/udp/0/quic-v1",
		"/memory/0":                         "/memory/0",
		"tcp://0.0.0.0:26656":               "/ip4/0.0.0.0/tcp/26656",
		"/ip4/1.2.3.4/tcp/1/mconn/" + hexID: "",
		"/ip4/1.2.3.4/tcp/65536":            "",
		"0.0.0.0":                           "",
		"":                                  "",
	} {
		m, err := ParseListen(in)
		if want == "" {
			var typed *AddressError
			if !errors.As(err, &typed) {
				t.Errorf("ParseListen(%q) is %q, %v", in, m, err)
			}
		} else if err != nil || m.String() != want {
			t.Errorf("ParseListen(%q) is %q, %v", in, m, err)
		}
	}
}

func TestNewAddress(t *testing.T) {
	m := ma.StringCast("/ip4/1.2.3.4/tcp/1")
	for node, want := range map[string]string{
		"":     "/ip4/1.2.3.4/tcp/1",
		hexUp:  "/ip4/1.2.3.4/tcp/1/mconn/" + hexID,
		edPeer: "/ip4/1.2.3.4/tcp/1/p2p/" + edPeer,
		edCID:  "/ip4/1.2.3.4/tcp/1/p2p/" + edPeer,
		"x":    "",
	} {
		a, err := NewAddress(m, node)
		if (err == nil) != (want != "") || a.String() != want {
			t.Errorf("NewAddress(%q, %q) is %q, %v", m, node, a, err)
		}
	}
	with := ma.StringCast("/ip4/1.2.3.4/tcp/1/p2p/" + edPeer)
	if a, err := NewAddress(with, edID); err != nil || a.Wire() != WireComet || a.ID() != edID {
		t.Errorf("the same node on the other wire: %q, %v", a, err)
	}
	if a, err := NewAddress(with, rsaPeer); err == nil {
		t.Errorf("another node: %q", a)
	}
	if a, err := NewAddress(nil, hexID); err == nil {
		t.Errorf("no multiaddr: %q", a)
	}
	if a, err := (Address{}).WithNode(hexID); err == nil {
		t.Errorf("the zero address with a node: %q", a)
	}
	if _, err := CometAddress(hexID, "a:b", 1); err == nil || !strings.Contains(err.Error(), hexID+"@a:b:1") {
		t.Errorf("CometAddress: %v", err)
	}
	if _, err := CometAddress("", "1.2.3.4", 0); err == nil {
		t.Error("CometAddress takes port 0")
	}
}

func TestZeroAddress(t *testing.T) {
	var a Address
	if !a.IsZero() || a.String() != "" || a.ID() != "" || a.Wire() != "" || a.PeerID() != "" ||
		a.Multiaddr() != nil || a.Host() != "" || a.Port() != 0 || a.Network() != "" || a.CometString() != "" ||
		a.IsRoutable() || a.IsLoopback() || a.IsPrivate() {
		t.Error("the zero address is something")
	}
	if _, ok := a.IP(); ok {
		t.Error("the zero address has an IP")
	}
}

func TestAddressJSON(t *testing.T) {
	var _ encoding.TextMarshaler = Address{}
	var _ encoding.TextUnmarshaler = &Address{}
	a, _ := ParseAddress(hexID + "@1.2.3.4:26656")
	in := map[string]Address{"a": a, "zero": {}}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]Address{}
	if err := json.Unmarshal(raw, &out); err != nil || out["a"] != a || out["zero"] != (Address{}) {
		t.Errorf("%s: %v, %v", raw, out, err)
	}
	if err := json.Unmarshal([]byte(`"/ip4/x"`), &a); err == nil {
		t.Error("a bad address is taken")
	}
}

func TestScope(t *testing.T) {
	for in, want := range map[string]string{
		"/ip4/127.0.0.1/tcp/1": "loopback", "/ip4/127.9.9.9/tcp/1": "loopback", "/ip6/::1/tcp/1": "loopback",
		"/dns/localhost/tcp/1":   "loopback",
		"/dns/a.localhost/tcp/1": "loopback", "/memory/1": "loopback", "/ip4/0.0.0.0/tcp/1": "loopback",
		"/ip6/::/tcp/1":       "loopback",
		"/ip4/10.1.2.3/tcp/1": "private", "/ip4/172.31.0.1/tcp/1": "private", "/ip4/192.168.0.1/tcp/1": "private",
		"/ip4/169.254.1.1/tcp/1": "private",
		"/ip4/100.64.0.1/tcp/1":  "private", "/ip6/fd00::1/tcp/1": "private", "/ip6/fe80::1/tcp/1": "private",
		"/dns/printer.local/tcp/1": "private",
		"/ip4/8.8.8.8/tcp/1":       "routable", "/ip4/172.32.0.1/tcp/1": "routable", "/ip6/2600::1/tcp/1": "routable",
		"/ip6/::ffff:8.8.8.8/tcp/1": "routable",
		"/dns/a.example/tcp/1":      "routable", "/onion3/" + onion3 + ":1": "routable",
		"/dns/notlocalhost/tcp/1": "routable",
		"/ip4/192.0.2.1/tcp/1":    "none", "/ip4/224.0.0.1/tcp/1": "none", "/ip4/255.255.255.255/tcp/1": "none",
		"/ip4/0.1.2.3/tcp/1":     "none",
		"/ip6/2001:db8::1/tcp/1": "none", "/ip6/ff02::1/tcp/1": "none", "/ip6/2002::1/tcp/1": "none",
		"/ip4/240.0.0.1/tcp/1": "none",
	} {
		a, err := ParseAddress(in)
		if err != nil {
			t.Fatal(err)
		}
		got := "none"
		for _, scope := range []struct {
			name string
			is   bool
		}{{"loopback", a.IsLoopback()}, {"private", a.IsPrivate()}, {"routable", a.IsRoutable()}} {
			if scope.is && got != "none" {
				got += " and " + scope.name
			} else if scope.is {
				got = scope.name
			}
		}
		if got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}

func TestGroup(t *testing.T) {
	for in, want := range map[string]string{
		"/ip4/1.2.3.4/tcp/1": "1.2.0.0/16", "/ip6/2001:db8:1::1/udp/1": "2001:db8::/32",
		"/dns4/a.example/tcp/1": "dns/a.example",
		"/dns/a.example/udp/9":  "dns/a.example", "/memory/1": "memory/1",
	} {
		if a, err := ParseAddress(in); err != nil || a.Group() != want {
			t.Errorf("the group of %s is %s, %v", in, a.Group(), err)
		}
	}
	if g := IPGroup(netip.Addr{}); g.IsValid() {
		t.Errorf("no IP has the group %s", g)
	}
}

// TestMconnComponent: go-multiaddr reads and writes it, as text and as bytes.
func TestMconnComponent(t *testing.T) {
	m := ma.StringCast("/ip4/1.2.3.4/tcp/1/mconn/" + hexUp)
	again, err := ma.NewMultiaddrBytes(m.Bytes())
	if err != nil || again.String() != "/ip4/1.2.3.4/tcp/1/mconn/"+hexID {
		t.Errorf("%s, %v", again, err)
	}
	if got := m[len(m)-1].Code(); got != MconnCode {
		t.Errorf("code %#x", got)
	}
	for _, bad := range []string{"/mconn/", "/mconn/00", "/mconn/" + hexID + "00", "/mconn/g" + hexID[1:]} {
		if m, err := ma.NewMultiaddr("/memory/1" + bad); err == nil {
			t.Errorf("%s is read as %s", bad, m)
		}
	}
}

// TestAddressSize: a million are held.
func TestAddressSize(t *testing.T) {
	for _, in := range []string{"/ip4/123.123.123.123/tcp/26656/mconn/" + hexID, "/ip4/1.2.3.4/tcp/4001/p2p/" + edPeer,
		hexID + "@1.2.3.4:26656"} {
		if n := testing.AllocsPerRun(100, func() { ParseAddress(in) }); n > 4 {
			t.Errorf("ParseAddress(%q) allocates %v times", in, n)
		}
	}
}

func TestWithNode(t *testing.T) {
	const node, peer = "0123456789abcdef0123456789abcdef01234567",
		"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
	for _, text := range []string{"/ip4/1.2.3.4/tcp/5", "/ip4/1.2.3.4/tcp/5/mconn/" + node,
		"/ip4/1.2.3.4/tcp/5/p2p/" + peer} {
		a, err := ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		for n, want := range map[string]string{"": "/ip4/1.2.3.4/tcp/5", node: "/ip4/1.2.3.4/tcp/5/mconn/" + node,
			peer: "/ip4/1.2.3.4/tcp/5/p2p/" + peer} {
			b, err := a.WithNode(n)
			if again, _ := ParseAddress(want); err != nil || b != again {
				t.Errorf("%s with %q: %s, %v", text, n, b, err)
			}
		}
	}
}
