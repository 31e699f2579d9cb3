package cli

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

func TestInit(t *testing.T) {
	home := filepath.Join(t.TempDir(), "new", "node")
	out := must(t, "init", "--home", home, "--network", "my-net", "--moniker", "me", "--listen", "/ip4/127.0.0.1/tcp/1",
		"--listen", "/ip6/::1/tcp/2",
		"--set", "peers.max_outbound=4", "--set", "discovery.pex.seed=true")
	cfg, err := modules.Load(filepath.Join(home, "config.toml"), nil, standard.Plugins()...)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Network != "my-net" || cfg.Moniker != "me" ||
		strings.Join(cfg.Listen.Addresses, " ") != "/ip4/127.0.0.1/tcp/1 /ip6/::1/tcp/2" ||
		cfg.Peers.MaxOutbound != 4 || cfg.Discovery[0]["seed"] != true {
		t.Errorf("wrote %+v", cfg)
	}
	key, err := handshake.LoadNodeKey(filepath.Join(home, "node_key.json"))
	if err != nil {
		t.Fatal(err)
	}
	if key.Warning() != nil || !strings.Contains(out, string(key.ID())) ||
		!strings.Contains(out, key.Public().PeerID()) {
		t.Errorf("printed %q (warning %v)", out, key.Warning())
	}

	// A second init keeps both files, unless it asks for other settings: that is refused.
	before, err := os.ReadFile(filepath.Join(home, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if again := must(t, "init", "--home", home); !strings.Contains(again, string(key.ID())) ||
		!strings.Contains(again, "my-net") {
		t.Errorf("a second init printed %q", again)
	}
	if r := call(t, "init", "--home", home, "--network", "other"); r.code != exitFailed ||
		!strings.Contains(r.err, "already there") {
		t.Errorf("an init that asks for another configuration: %+v", r)
	}
	if after, _ := os.ReadFile(filepath.Join(home, "config.toml")); string(after) != string(before) {
		t.Error("the configuration changed")
	}
}

func TestInitKeepsAKey(t *testing.T) {
	home := t.TempDir()
	key := handshake.NewIdentity([32]byte{7})
	if err := handshake.SaveNodeKey(filepath.Join(home, "node_key.json"), key); err != nil {
		t.Fatal(err)
	}
	if out := must(t, "init", "--home", home); !strings.Contains(out, string(key.ID())) ||
		strings.Contains(out, "(new)") {
		t.Errorf("printed %q", out)
	}
	var id struct {
		NodeID    string `json:"node_id"`
		PeerID    string `json:"peer_id"`
		PublicKey string `json:"public_key"`
	}
	mustJSON(t, &id, "id", "--home", home, "--json")
	if id.NodeID != string(key.ID()) || id.PeerID != key.Public().PeerID() ||
		id.PublicKey != base64.StdEncoding.EncodeToString(key.Public().Raw()) {
		t.Errorf("id printed %+v", id)
	}
	if out := must(t, "id", "--home", home); !strings.Contains(out, id.NodeID) || !strings.Contains(out, id.PeerID) {
		t.Errorf("id printed %q", out)
	}
}

func TestDefaultHome(t *testing.T) {
	r := call(t, "id") // HOME is an empty folder
	if r.code != exitFailed || !strings.Contains(r.err, ".switchyard") || !strings.Contains(r.err, "switchyard init") {
		t.Errorf("%+v", r)
	}
}

// TestWholeConfig shows that a configuration with every table that this project has ever named is accepted.
func TestWholeConfig(t *testing.T) {
	const text = `
network = "my-net"             # a node of another network is refused
moniker = "node-1"
[identity]
key = "node_key.json"
[listen]
addresses = ["/ip4/0.0.0.0/tcp/26656", "/ip4/0.0.0.0/udp/26656/quic-v1"]
external  = []
[stack]
transports = ["tcp", "quic"]
wires      = ["comet", "libp2p"]
security   = ["noise", "tls"]
muxers     = ["yamux"]
[peers]
persistent    = []
unconditional = []
private       = []
guests        = 16
dialed_guests = 64
bootstrap     = []
max_outbound  = 8
max_inbound   = 40
max_known     = 100000
shared_networks = []
outbound_per_group = 1
anchors = 2
feeler_interval = "2m"
churn_interval = "1h"
as_map = ""
[limits]
handshakes          = 0
handshakes_per_ip   = 0
attempts_per_ip     = 0
connections_per_ip  = 0
connections_per_group = 0
handshake_timeout   = "5s"
message_memory      = 0
[[discovery]]
use = "pex"
seed = false
[services.echo]
enabled = false
[services.relay]
enabled = true
[store]
path = "data/peers"
[admin]
address = "127.0.0.1:26670"
`
	home := initHome(t)
	if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, home, "--set", `listen.addresses=["/ip4/127.0.0.1/tcp/0","/ip4/127.0.0.1/udp/0/quic-v1"]`,
		"--set", "admin.address=127.0.0.1:0")
	log, code := n.stop(syscall.SIGTERM)
	if code != exitDone || len(n.listens) != 2 || strings.Count(log, `"level":"WARN"`) != 0 {
		t.Errorf("exit code %d, listens on %v, log:\n%s", code, n.listens, log)
	}
}

// TestNode runs two nodes and every command that looks at one.
func TestNode(t *testing.T) {
	a := startNode(t, initHome(t, "--moniker", "anna", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--set",
		"services.echo.enabled=true"))
	b := startNode(t, initHome(t, "--moniker", "bert"), "--set", "peers.persistent="+a.address())

	t.Run("peers", func(t *testing.T) {
		var peers []admin.Peer
		eventually(t, "the nodes are connected", func() bool {
			mustJSON(t, &peers, a.ask("peers", "--json")...)
			return len(peers) == 1
		})
		if p := peers[0]; string(p.NodeID) != b.id || p.Moniker != "bert" || p.Direction != "inbound" ||
			p.Wire != "comet" || p.Transport != "tcp" ||
			p.Security != "secretconn" || p.Muxer != "mconn" || p.Network != "test-net" {
			t.Errorf("a's peer: %+v", p)
		}
		out := must(t, b.ask("peers")...)
		if !regexp.MustCompile(`(?m)^` + a.id[:8] +
			` +out\* +anna +comet/tcp/secretconn/mconn .* /ip4/127.0.0.1/tcp/\d+$`).MatchString(out) {
			t.Errorf("b's peers:\n%s", out)
		}
	})

	t.Run("status", func(t *testing.T) {
		var s admin.Status
		mustJSON(t, &s, b.ask("status", "--json")...)
		if string(s.NodeID) != b.id || s.Network != "test-net" || s.Moniker != "bert" || s.Peers.Outbound != 1 ||
			s.Store.Known != 1 || !strings.HasPrefix(s.Version, "switchyard/") {
			t.Errorf("%+v", s)
		}
		if out := must(t, a.ask("status")...); !strings.Contains(out, a.id) || !strings.Contains(out, "1 inbound") {
			t.Errorf("printed\n%s", out)
		}
	})

	t.Run("dial", func(t *testing.T) {
		var d dialResult
		mustJSON(t, &d, "dial", a.address(), "--json")
		names := ""
		for _, s := range d.Stages {
			names += s.Name + " "
		}
		if !d.OK || d.NodeID != a.id || d.Wire != "comet" || d.Transport != "tcp" || d.Security != "secretconn" ||
			d.Muxer != "mconn" || names != "transport security muxer info " ||
			d.Info.Moniker != "anna" || d.Info.Network != "test-net" || fmt.Sprint(d.Info.Channels) != "[0 126]" ||
			d.PeerID == "" || len(d.Info.Listen) != 1 {
			t.Errorf("%+v", d)
		}
		for _, args := range [][]string{
			{"dial", a.listen}, // any node id
			{"dial", a.address(), "--network", "test-net"}, // the network is known
			{"dial", "/dns/localhost/tcp/" + a.listen[strings.LastIndexByte(a.listen, ':')+1:] + "/mconn/" + a.id},
			{"dial", a.address(), "--home", initHome(t)},              // a network of one's own
			{"dial", a.address(), "--home", initHome(t), "--own-key"}, // and a key
			{"dial", a.address(), "--home", a.home},
		} {
			if out := must(t, args...); !strings.Contains(out, a.id) || !strings.Contains(out, "anna") ||
				!strings.Contains(out, "security") {
				t.Errorf("%v printed\n%s", args, out)
			}
		}
	})

	t.Run("dial libp2p", func(t *testing.T) {
		for _, tt := range []struct{ addr, set, link string }{
			{a.libp2p(), "", "libp2p tcp noise yamux"},
			{a.libp2p(), `stack.security=["tls","noise"]`, "libp2p tcp tls yamux"},
			{"/ip4/127.0.0.1/tcp/" + a.port(), "stack.wires=libp2p", "libp2p tcp noise yamux"},
			{a.quic(), "", "libp2p quic tls quic"},
			{strings.TrimSuffix(a.quic(), "/p2p/"+a.peerID), "", "libp2p quic tls quic"},
			{a.quic(), "stack.transports=quic", "libp2p quic tls quic"},
		} {
			args := []string{"dial", tt.addr, "--json"}
			if tt.set != "" {
				args = append(args, "--home", initHome(t, "--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--set", tt.set))
			}
			var d dialResult
			mustJSON(t, &d, args...)
			if link := strings.Join([]string{d.Wire, d.Transport, d.Security, d.Muxer}, " "); !d.OK ||
				d.NodeID != a.id || d.PeerID != a.peerID || link != tt.link || len(d.Stages) != 4 ||
				d.Info.Moniker != "anna" || d.Info.Network != "test-net" || fmt.Sprint(d.Info.Channels) != "[0 126]" ||
				!slices.Contains(d.Info.Protocols, "/echo/1.0.0") ||
				!strings.HasPrefix(d.Info.Version, "switchyard/") || len(d.Info.Listen) != 2 {
				t.Errorf("%v: %+v", args, d)
			}
		}
		for _, addr := range []string{a.libp2p(), a.quic()} {
			var r roundTrips
			mustJSON(t, &r, "ping", addr, "--count", "3", "--interval", "0s", "--json")
			if !r.OK || r.Count != 3 || r.RTT.Min <= 0 {
				t.Errorf("ping %s: %+v", addr, r)
			}
			for _, size := range []string{"0", "1", "65536", "4194304", "16777216"} {
				if mustJSON(t, &r, "echo", addr, "--count", "2", "--size", size, "--json"); !r.OK ||
					fmt.Sprint(r.Size) != size || r.RTT.Min <= 0 {
					t.Errorf("echo %s: %+v", addr, r)
				}
			}
		}
		if r := call(t, "echo", b.libp2p()); r.code != exitFailed ||
			!strings.Contains(r.err, "services.echo.enabled") || strings.Count(r.err, "\n") != 1 {
			t.Errorf("a node without the service: %+v", r)
		}
	})

	t.Run("own key", func(t *testing.T) {
		for _, addr := range []string{a.address(), a.libp2p(), a.listen} {
			r := call(t, "dial", addr, "--home", a.home, "--own-key", "--json")
			var f failureOf
			if err := jsonInto(r.out, &f); err != nil || r.code != exitFailed || f.Stage != "security" ||
				!strings.Contains(f.Error, "--own-key") {
				t.Errorf("%s: %+v", addr, r)
			}
		}
	})

	t.Run("ping", func(t *testing.T) {
		var r roundTrips
		mustJSON(t, &r, "ping", a.address(), "--count", "3", "--interval", "0s", "--json")
		if !r.OK || r.Count != 3 || r.RTT.Min <= 0 || r.RTT.Max < r.RTT.P99 || r.RTT.P99 < r.RTT.P50 ||
			r.RTT.P50 < r.RTT.Min {
			t.Errorf("%+v", r)
		}
		if out := must(t, "ping", a.address(), "--count", "2"); !strings.Contains(out, "2 sent, all answered") {
			t.Errorf("printed\n%s", out)
		}
	})

	t.Run("echo", func(t *testing.T) {
		for _, size := range []string{"1", "1024", "4194304"} {
			var r roundTrips
			mustJSON(t, &r, "echo", a.address(), "--count", "3", "--size", size, "--json")
			if !r.OK || r.Count != 3 || fmt.Sprint(r.Size) != size || r.RTT.Min <= 0 {
				t.Errorf("%s bytes: %+v", size, r)
			}
		}
		if r := call(t, "echo", b.address()); r.code != exitFailed ||
			!strings.Contains(r.err, "services.echo.enabled") || strings.Count(r.err, "\n") != 1 {
			t.Errorf("a node without the service: %+v", r)
		}
	})

	t.Run("ban", func(t *testing.T) {
		out := must(t, a.ask("ban", "10.0.0.0/8", "--for", "1h", "--reason", "a test")...)
		if out != "banned 10.0.0.0/8 for 1h0m0s\n" {
			t.Errorf("printed %q", out)
		}
		must(t, a.ask("unban", "10.0.0.0/8")...)
		if r := call(t, a.ask("unban", "10.0.0.0/8")...); r.code != exitFailed ||
			!strings.Contains(r.err, "not banned") {
			t.Errorf("a second unban: %+v", r)
		}
		must(t, a.ask("ban", b.id)...)
		eventually(t, "the banned peer is gone", func() bool {
			return strings.Contains(must(t, a.ask("peers")...), "no peers")
		})
		must(t, a.ask("unban", b.id)...)
		eventually(t, "the persistent peer is back", func() bool {
			var peers []admin.Peer
			mustJSON(t, &peers, a.ask("peers", "--json")...)
			return len(peers) == 1
		})
	})

	t.Run("store", func(t *testing.T) {
		if r := call(t, "start", "--home", a.home, "--set", "listen.addresses=[]"); r.code != exitFailed ||
			!strings.Contains(r.err, "in use by another process") {
			t.Errorf("a second process with the same store: %+v", r)
		}
	})

	if _, code := b.stop(syscall.SIGTERM); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	// It remembers its peers, and finds them without bootstrap addresses.
	b = startNode(t, b.home)
	eventually(t, "the node has found its peer again", func() bool {
		var s admin.Status
		mustJSON(t, &s, b.ask("status", "--json")...)
		return s.Peers.Outbound == 1
	})
}

func TestLogLevelsAndFormats(t *testing.T) {
	home := initHome(t)
	n := startNode(t, home, "--log-level", "debug")
	log, _ := n.stop(syscall.SIGINT)
	for _, want := range []string{`"msg":"limits"`, `"limits.handshakes":`, `"msg":"ready"`} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s at level debug", want)
		}
	}
	for line := range strings.Lines(log) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %q", line)
		}
	}
}

func TestDemo(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	out := must(t, "demo", "--nodes", "3", "--duration", "6s")
	last := regexp.MustCompile(`(?m)^3 nodes stopped in .*: [23] links, [1-9]\d* of \d+ echoes came back byte-equal\.$`)
	if !last.MatchString(out) {
		t.Errorf("printed\n%s", out)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestVersionHelpAndCompletion(t *testing.T) {
	if out := must(t, "version"); !strings.HasPrefix(out, "switchyard ") {
		t.Errorf("version printed %q", out)
	}
	var v map[string]string
	if mustJSON(t, &v, "version", "--json"); v["version"] == "" || v["go_version"] == "" {
		t.Errorf("version --json printed %v", v)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out := must(t, "completion", shell); !strings.Contains(out, "switchyard") {
			t.Errorf("completion %s printed %d bytes", shell, len(out))
		}
	}
	out := must(t, "help")
	for _, name := range []string{"init", "start", "id", "status", "peers", "dial", "ping", "echo", "ban", "unban",
		"demo", "version", "completion"} {
		if !regexp.MustCompile(`(?m)^  ` + name + ` `).MatchString(out) {
			t.Errorf("help does not list %s", name)
		}
		if h := must(t, name, "--help"); !strings.Contains(h, "Usage:") {
			t.Errorf("%s --help printed %q", name, h)
		}
	}
}
