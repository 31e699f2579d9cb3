package cli

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake"
)

const someID = "0123456789abcdef0123456789abcdef01234567"

// TestWrongCalls is the table of malformed calls: exit code 2, and one line.
func TestWrongCalls(t *testing.T) {
	home := initHome(t)
	for _, tt := range []struct {
		call string // words; HOME stands for a node's folder
		want string
	}{
		{"strat", `unknown command "strat" (did you mean start?)`},
		{"frget x", `unknown command "frget"`},
		{"--verbose", "unknown flag: --verbose; switchyard --help lists the flags"},
		{"start --hom x", "unknown flag: --hom"},
		{"start --home", "flag needs an argument: --home"},
		{"start x", `start: unexpected argument "x"`},
		{"start --home HOME --log-level loud", `--log-level "loud": want debug, info, warn or error`},
		{"start --home HOME --log-format xml", `--log-format "xml": want text or json`},
		{"start --home HOME --set peers.max_outbond=4",
			"--set: peers.max_outbond: unknown key (did you mean max_outbound?)"},
		{"start --home HOME --set peers.max_outbound=few", "--set: peers.max_outbound: want a whole number"},
		{"start --home HOME --set peers.max_outbound", "want KEY=VALUE"},
		{"start --home HOME --set transports.tcp.proxy=http://127.0.0.1:1",
			"transports.tcp: proxy: want HOST:PORT or "},
		{"start --home HOME --set transports.tcp.proxy_all=true", "transports.tcp: proxy_all needs a proxy"},
		{"start --home HOME --set peers.persistent=10.0.0.1:1", "names no node id"},
		{"start --home HOME --set stack.wires=libp2",
			`stack.wires: "libp2": this build has no such wire (did you mean libp2p?)`},
		{`start --home HOME --set stack.transports=["tcp","webrtc"]`,
			`stack.transports: "webrtc": this build has no such transport (known: tcp, quic)`},
		{"start --home HOME --set stack.security=[]",
			"--set: stack.security: empty; stack.wires has a wire that needs a security (known: noise, tls)"},
		{`start --home HOME --set stack.wires=comet --set stack.muxers=["yamux","yamux"]`,
			`--set: stack.muxers: "yamux" is there twice`},
		{"start --home HOME --set listen.addresses=/ip4/1.2.3.4/tcp/70000", "listen.addresses: "},
		{"init --home HOME/x --listen /ip4/0.0.0.0/tcp", "listen.addresses: "},
		{"init --home HOME/x --network=", "network: empty"},
		{"init --home HOME/x --moniker=", "moniker: empty"},
		{"init --home HOME/x --set netwrk=a", "--set: netwrk: unknown key (did you mean network?)"},
		{"init --home=", `--home "": name a folder, or leave --home out for ~/.switchyard`},
		{"id --home=", `--home "": name a folder`},
		{"dial 127.0.0.1:1 --home= --own-key", `--home "": name a folder`},
		{"init --home HOME/x y", `init: unexpected argument "y"`},
		{"dial", "dial: ADDRESS is missing; want switchyard dial ADDRESS"},
		{"dial nonsense", "nonsense"},
		{"dial " + someID, "address"},
		{"dial " + someID[1:] + "@127.0.0.1:1", "address"},
		{"dial /ip4/127.0.0.1/tcp/1/mconn/xyz", "address"},
		{"dial 127.0.0.1:1 --timeout 0s", "--timeout 0s: want more than 0"},
		{"dial 127.0.0.1:1 --timeout soon", "invalid argument"},
		{"ping 127.0.0.1:1 --count 0", "--count 0: want 1 to"},
		{"ping 127.0.0.1:1 --interval -1s", "--interval -1s: want 0 or more"},
		{"echo 127.0.0.1:1 --size -1", "--size -1: want 0 to"},
		{"echo 127.0.0.1:1 --size 99999999", "--size 99999999: want 0 to"},
		{"dial 127.0.0.1:1 --own-key", "--own-key needs the --home"},
		{"ban", "ban: ID|IP|CIDR is missing"},
		{"ban --home HOME 10.0.0.0/40", `ban target "10.0.0.0/40": not a CIDR`},
		{"ban --home HOME 10.0.0.1 --for -1h", "--for -1h0m0s: want more than 0"},
		{"ban --home HOME 10.0.0.1 --for 0s", "--for 0s: want more than 0"},
		{"ban --home HOME fe80::1%eth0", "an IP address with a zone cannot be banned"},
		{"unban --home HOME xyz", `ban target "xyz": neither a node id`},
		{"protect --home HOME xyz", "xyz"},
		{"protect --home HOME /ip4/1.2.3.4/tcp/1", "names no node"},
		{"protect --home HOME " + someID + " --off --private", "--off takes all of a peer's role back"},
		{"demo --nodes 1", "--nodes 1: want 2 to 64"},
		{"demo --nodes many", "invalid argument"},
		{"completion tcsh", `completion: unknown shell "tcsh" (known: bash, zsh, fish, powershell)`},
	} {
		t.Run(tt.call, func(t *testing.T) {
			r := call(t, strings.Fields(strings.ReplaceAll(tt.call, "HOME", home))...)
			oneLine(t, r, exitUsage, tt.want)
		})
	}
}

func oneLine(t *testing.T, r result, code int, want string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	if !strings.HasPrefix(r.err, "switchyard: ") || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, want) {
		t.Errorf("stderr %q, want one line with %q", r.err, want)
	}
}

// TestFailures is the table of well-formed calls that fail: exit code 1, and one line with what to mend.
func TestFailures(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := busy.Addr().String()[len("127.0.0.1:"):]
	write := func(home, name, text string) {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, call string
		spoil      func(home string)
		want       string
	}{
		{"no home", "start --home HOME/none", nil, "no config.toml in "},
		{"home is a file", "start --home HOME/config.toml", nil, "config.toml"},
		{"init below a file", "init --home HOME/config.toml/x", nil, "not a directory"},
		{"config: unknown key", "start --home HOME", func(h string) {
			write(h, "config.toml", "network = \"n\"\n[peers]\nmax_outbond = 3\n")
		},
			"config.toml:3: peers.max_outbond: unknown key (did you mean max_outbound?)"},
		{"config: syntax", "id --home HOME", func(h string) { write(h, "config.toml", "network = \n") },
			"config.toml:1: "},
		{"config: not text", "status --home HOME", func(h string) { write(h, "config.toml", "\x00\xff\xfe") },
			"config.toml:1: "},
		{"config: too large", "start --home HOME", func(h string) {
			write(h, "config.toml", strings.Repeat("# x\n", 1<<19))
		}, "larger than 1048576 bytes"},
		{"config: a folder", "start --home HOME", func(h string) {
			_ = os.Remove(h + "/config.toml")
			_ = os.Mkdir(h+"/config.toml", 0o700)
		}, "is a directory"},
		{"config: wire of another build", "start --home HOME", func(h string) {
			write(h, "config.toml", "[stack]\nwires = [\"comet\", \"devp2p\"]\n")
		},
			`config.toml:2: stack.wires: "devp2p": this build has no such wire (known: comet, libp2p)`},
		{"config: security without a use", "start --home HOME", func(h string) {
			write(h, "config.toml", "[stack]\nwires = [\"comet\"]\nsecurity = [\"tls\"]\n")
		}, `config.toml:3: stack.security: "tls": no wire of stack.wires (comet) lets one choose a security`},
		{"key: empty", "start --home HOME", func(h string) { write(h, "node_key.json", "") }, "node_key.json"},
		{"key: not JSON", "start --home HOME", func(h string) { write(h, "node_key.json", "hello") }, "node_key.json"},
		{"key: other type", "id --home HOME", func(h string) {
			write(h, "node_key.json", `{"priv_key":{"type":"tendermint/PrivKeySecp256k1","value":"AAAA"}}`)
		}, "node_key.json"},
		{"key: half", "id --home HOME", func(h string) {
			write(h, "node_key.json", `{"priv_key":{"type":"tendermint/PrivKeyEd25519","value":"AAAA"}}`)
		}, "node_key.json"},
		{"key: a folder", "start --home HOME", func(h string) {
			_ = os.Remove(h + "/node_key.json")
			_ = os.Mkdir(h+"/node_key.json", 0o700)
		}, "node_key.json"},
		{"key: missing", "id --home HOME", func(h string) { _ = os.Remove(h + "/node_key.json") }, "switchyard init"},
		{"dial with a bad key", "dial 127.0.0.1:1 --own-key --home HOME", func(h string) {
			write(h, "node_key.json", "hello")
		}, "node_key.json"},
		{"store: a file", "start --home HOME", func(h string) {
			_ = os.Mkdir(h+"/data", 0o700)
			write(h, "data/peers", "x")
		}, "store: "},
		{"store: below a file", "start --home HOME --set store.path=config.toml/peers", nil, "store: "},
		{"port in use", "start --home HOME --set listen.addresses=/ip4/127.0.0.1/tcp/" + port, nil,
			"address already in use (another program has that port"},
		{"admin port in use", "start --home HOME --set admin.address=127.0.0.1:" + port, nil, "address already in use"},
		{"not our address", "start --home HOME --set listen.addresses=/ip4/192.0.2.1/tcp/0", nil,
			"/ip4/192.0.2.1/tcp/0"},
		{"not running", "status --home HOME --set admin.address=127.0.0.1:1", nil, "no node answers at 127.0.0.1:1"},
		{"not running: peers", "peers --home HOME --set admin.address=127.0.0.1:1", nil,
			"no node answers at 127.0.0.1:1"},
		{"not running: ban", "ban 10.0.0.1 --home HOME --set admin.address=127.0.0.1:1", nil,
			"no node answers at 127.0.0.1:1"},
		{"admin off", "status --home HOME --set admin.address=", nil, "the admin API of "},
		{"admin without port", "status --home HOME", nil, "has no fixed port"},
		{"nothing listens", "dial 127.0.0.1:1", nil, "refused"},
		{"no such host", "dial no-such-host.invalid:1", nil, "no-such-host.invalid"},
		{"silent remote", "dial 127.0.0.1:" + port + " --timeout 300ms", nil, "not done within 300ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			home := initHome(t)
			if tt.spoil != nil {
				tt.spoil(home)
			}
			oneLine(t, call(t, strings.Fields(strings.ReplaceAll(tt.call, "HOME", home))...), exitFailed, tt.want)
		})
	}
}

// TestDialFailures shows what --json prints of a failed handshake.
func TestDialFailures(t *testing.T) {
	n := startNode(t, initHome(t, "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"))
	key := handshake.NewIdentity([32]byte{3})
	for _, tt := range []struct{ name, call, stage, want string }{
		{"refused", "dial 127.0.0.1:1 --json", "transport", "refused"},
		{"wrong id", "dial " + string(key.ID()) + "@" + n.listen + " --json", "security", n.id},
		{"wrong id, libp2p", "dial /ip4/127.0.0.1/tcp/" + n.port() + "/p2p/" + key.Public().PeerID() + " --json",
			"security", n.id},
		{"wrong id, QUIC", "dial " + n.listens[1] + "/p2p/" + key.Public().PeerID() + " --json", "security", n.id},
		{"silent, QUIC", "dial /ip4/127.0.0.1/udp/1/quic-v1/p2p/" + key.Public().PeerID() + " --timeout 500ms --json",
			"transport", "no answer within 500ms (--timeout)"},
		{"wrong network, QUIC", "dial " + n.quic() + " --network other --json", "info", "test-net"},
		{"wrong network, libp2p", "dial " + n.libp2p() + " --network other --json", "info", "test-net"},
		{"QUIC at a TCP port", "dial /ip4/127.0.0.1/udp/" + n.port() + "/quic-v1 --timeout 500ms --json", "transport",
			"no answer"},
		{"refused, libp2p", "dial /ip4/127.0.0.1/tcp/1/p2p/" + key.Public().PeerID() + " --json", "transport",
			"refused"},
		{"echo without service, libp2p", "echo " + n.libp2p() + " --json", "echo", "services.echo.enabled"},
		{"wrong network", "dial " + n.address() + " --network other --json", "info", "test-net"},
		{"ping refused", "ping 127.0.0.1:1 --json", "transport", "refused"},
		{"echo without service", "echo " + n.address() + " --json", "echo", "services.echo.enabled"},
		{"not a node", "dial " + n.admin + " --json --timeout 2s", "security", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := call(t, strings.Fields(tt.call)...)
			oneLine(t, r, exitFailed, tt.want)
			var f failureOf
			if err := jsonInto(r.out, &f); err != nil || f.OK || f.Stage != tt.stage || f.Error == "" ||
				!strings.Contains(f.Error, tt.want) {
				t.Errorf("printed %q (%v), want stage %s", r.out, err, tt.stage)
			}
		})
	}
}
