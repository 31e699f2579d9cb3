package modules

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/host/admin"
)

// TestKeys shows that each key can be set by the name that Keys has, and by its variable, of which no two are alike.
func TestKeys(t *testing.T) {
	plugins := realPlugins(nil)
	variables := map[string]string{}
	effective := map[string]bool{}
	for _, s := range Default().Effective(plugins...) {
		effective[s.Key] = true
	}
	for _, k := range Keys(plugins...) {
		name := EnvName("X", k.Name)
		if other := variables[name]; other != "" {
			t.Errorf("%s and %s have the variable %s", k.Name, other, name)
		}
		variables[name] = k.Name
		if k.Default == "" || k.Name == "discovery" { // too much for a line, or a table
			continue
		}
		c := Default()
		if err := c.Set(k.Name + "=" + k.Default); err != nil {
			t.Errorf("--set %s=%s: %v", k.Name, k.Default, err)
		}
		if !strings.HasPrefix(k.Name, "discovery.static.") && !effective[k.Name] {
			t.Errorf("%s is a key, but not in force", k.Name)
		}
	}
	for key := range liveKeys {
		if variables[EnvName("X", key)] == "" {
			t.Errorf("%s is live, but no key", key)
		}
	}
	if k := variables["X_PEERS_MAX_OUTBOUND"]; k != "peers.max_outbound" {
		t.Errorf("X_PEERS_MAX_OUTBOUND sets %q", k)
	}
	if got := EnvPrefix("my-node.2"); got != "MY_NODE_2" {
		t.Errorf("prefix %q", got)
	}
}

// TestOrderOfPlaces: a flag wins over the environment, which wins over the file, which wins over the default; and each
// value says where it comes from.
func TestOrderOfPlaces(t *testing.T) {
	path := writeConfig(t, "network = 'file'\nmoniker = 'file'\n[peers]\nguests = 1\nmax_inbound = 1\n"+
		"[wires.comet]\nping_interval = '7s'\n[transports.tcp]\nproxy = 'socks5://me:hidden@127.0.0.1:9050'\n")
	c, err := Places{File: path, Prefix: "X", Sets: []string{"peers.guests=3"}, Environ: []string{
		"X_MONIKER=env", "X_PEERS_GUESTS=2", "X_DISCOVERY_PEX_SEED=true", "X_SERVICES_ECHO_ENABLED=true",
		"X_PEERS_PRIVATE=" + testID, "X_WIRES_COMET_MAX_PACKET_PAYLOAD=512", "Y_NETWORK=no", "X_OTHER=no",
	}}.Load(realPlugins(nil)...)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range c.Effective(realPlugins(nil)...) {
		got[s.Key] = strings.TrimSpace(fmt.Sprint(s.Value, " ", s.From, " ", s.Where))
	}
	for key, want := range map[string]string{
		"network":                        "file file config.toml:1",
		"moniker":                        "env env X_MONIKER",
		"peers.guests":                   "3 flag --set",
		"peers.max_inbound":              "1 file config.toml:5",
		"peers.max_outbound":             "8 default",
		"peers.private":                  "[" + testID + "] env X_PEERS_PRIVATE",
		"discovery.pex.use":              "pex default",
		"discovery.pex.seed":             "true env X_DISCOVERY_PEX_SEED",
		"services.echo.enabled":          "true env X_SERVICES_ECHO_ENABLED",
		"wires.comet.ping_interval":      "7s file config.toml:7",
		"wires.comet.pong_timeout":       "0s default",
		"wires.comet.max_packet_payload": "512 env X_WIRES_COMET_MAX_PACKET_PAYLOAD",
		"transports.tcp.proxy":           "socks5://me:***@127.0.0.1:9050 file config.toml:9",
		"limits.connections_per_ip":      "8 default", // derived
	} {
		if got[key] != want {
			t.Errorf("%s: got %q, want %q", key, got[key], want)
		}
	}
	_, err = Places{File: path, Prefix: "X", Environ: []string{"X_PEERS_GUESTS=many"}}.Load(realPlugins(nil)...)
	if err == nil || err.Error() != `$X_PEERS_GUESTS: peers.guests: want a whole number, got the text "many"` {
		t.Errorf("got %v", err)
	}
	lines := UnknownEnviron("X", []string{"X_PEERS_GUEST=1", "X_HOME=/x", "X_PEERS_GUESTS=1", "X_TEST=1"},
		realPlugins(nil)...)
	if len(lines) != 1 || lines[0] != "the variable X_PEERS_GUEST sets no key (did you mean X_PEERS_GUESTS?)" {
		t.Errorf("got %q", lines)
	}
}

func TestBlot(t *testing.T) {
	for _, tt := range []struct {
		key  string
		v    any
		want any
	}{
		{"a.url", "http://user:pass@host/list?x=1", "http://user:***@host/list?x=1"},
		{"a.url", "https://host/list?api_key=abc&x=1#f", "https://host/list?api_key=***&x=1#f"},
		{"a.urls", []string{"https://h/?token=t"}, []string{"https://h/?token=***"}},
		{"a.password", "p", "***"}, {"a.password", "", ""}, {"identity.key", "node_key.json", "node_key.json"},
		{"a.n", 5, 5},
	} {
		if got := blot(tt.key, tt.v); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s %v: got %v", tt.key, tt.v, got)
		}
	}
}

func TestChangedKeys(t *testing.T) {
	old := []admin.Setting{{Key: "a", Value: 1}, {Key: "b", Value: []string{"x"}}, {Key: "c", Value: "gone"}}
	next := []admin.Setting{{Key: "a", Value: 1}, {Key: "b", Value: []string{"y"}}, {Key: "d", Value: true}}
	if got := fmt.Sprint(changedKeys(old, next)); got != "[b d c]" {
		t.Errorf("got %s", got)
	}
}
