package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An address at which this node can reach nobody is refused wherever somebody may write it, with the key and the
// reason, before anything starts.
func TestAddressesNobodyCanDial(t *testing.T) {
	const hex = "013dd783e69093558b5076179dc73a0789d85115"
	const peer = "/p2p/12D3KooWJ8Ak99GuLuVPRG9yRBV7AaF8i8zX4mQBH6csnHBNDjH6"
	home := initHome(t)
	config := filepath.Join(home, "config.toml")
	plain, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"/dnsaddr/bootstrap.example" + peer:        "no transport of this node dials it",
		"/ip4/192.0.2.1/tcp/443/ws" + peer:         "no transport",
		"/ip4/192.0.2.1/tcp/443/tls/ws" + peer:     "no transport",
		"/ip4/192.0.2.1/udp/4001/quic" + peer:      "no transport",
		"/ip4/192.0.2.1/udp/4001" + peer:           "no transport",
		"/memory/7" + peer:                         "no transport",
		"/ip6/fe80::1/tcp/4001" + peer:             "link-local without a zone",
		hex + "@224.0.0.1:26656":                   "multicast",
		hex + "@[ff02::1]:26656":                   "multicast",
		hex + "@255.255.255.255:26656":             "broadcast",
		hex + "@0.0.0.0:26656":                     "unspecified",
		hex + "@[::]:26656":                        "unspecified",
		hex + "@192.0.2.1:0":                       "port",
		"/ip4/192.0.2.1/udp/4001/quic-v1/x" + peer: "component",
	} {
		bare := strings.TrimSuffix(address, peer)
		if _, at, ok := strings.Cut(address, hex+"@"); ok {
			bare = at
		}
		for key, value := range map[string]string{"peers.persistent": address, "peers.bootstrap": address,
			"listen.external": bare} {
			r := call(t, "start", "--home", home, "--set", fmt.Sprintf("%s=[%q]", key, value))
			if r.code == 0 || !strings.Contains(r.err, key) || !strings.Contains(r.err, want) {
				t.Errorf("%s = %s: exit %d, %s", key, value, r.code, r.err)
			}
		}
		static := fmt.Sprintf("%s\n[[discovery]]\nuse = \"static\"\naddresses = [%q]\n", plain, address)
		if err := os.WriteFile(config, []byte(static), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := call(t, "start", "--home", home); r.code == 0 || !strings.Contains(r.err, "discovery") ||
			!strings.Contains(r.err, want) {
			t.Errorf("static %s: exit %d, %s", address, r.code, r.err)
		}
		if err := os.WriteFile(config, plain, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := call(t, "dial", address); r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("dial %s: exit %d, %s", address, r.code, r.err)
		}
	}
}
