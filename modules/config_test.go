package modules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	testID   = "0123456789abcdef0123456789abcdef01234567"
	testAddr = testID + "@10.0.0.1:26656"
)

// fakePlugin is the Config of a plug-in without toml tags.
type fakePlugin struct {
	Seed        bool
	MaxPerIP    int
	Every       time.Duration
	Names       []string
	Sub         struct{ DeepKey string }
	Resolver    interface{ Lookup() } // not for files
	TaggedField string                `toml:"other_name"`
}

func fakeDefaults() fakePlugin { return fakePlugin{Every: time.Minute} }

type fakeRunner struct{}

func (fakeRunner) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// catalogue has the names that the default configuration uses, with constructors that are never called here.
func catalogue() []Plugin {
	return []Plugin{
		Transport("tcp", fakeDefaults, func(fakePlugin) (transport.Transport, error) { return nil, nil }),
		Transport("memory", fakeDefaults, func(fakePlugin) (transport.Transport, error) { return nil, nil }),
		SecureTransport("quic", fakeDefaults, func(fakePlugin, TransportEnv) (transport.Transport, error) {
			return nil, nil
		}),
		Wire("comet", fakeDefaults, func(fakePlugin, WireEnv) (handshake.Wire, error) { return nil, nil }),
		StreamWire("libp2p", fakeDefaults, func(fakePlugin, WireEnv) (handshake.Wire, error) { return nil, nil }),
		Security("noise", fakeDefaults, func(fakePlugin) (handshake.Security, error) { return nil, nil }),
		Security("tls", fakeDefaults, func(fakePlugin) (handshake.Security, error) { return nil, nil }),
		Muxer("yamux", fakeDefaults, func(fakePlugin, MuxerEnv) (muxer.StreamMuxer, error) { return nil, nil }),
		Discovery("pex", fakeDefaults, func(fakePlugin, discovery.Env) (discovery.Source, error) { return nil, nil }),
		Discovery("static", fakeDefaults,
			func(fakePlugin, discovery.Env) (discovery.Source, error) { return nil, nil }),
		Service("echo", fakeDefaults, func(fakePlugin, *host.Host, *slog.Logger) (fakeRunner, error) {
			return fakeRunner{}, nil
		}),
		AbsentService("relay"),
	}
}

func load(t *testing.T, text string, sets ...string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, sets, catalogue()...)
	if err != nil {
		// The folder has another name in every run.
		err = errors.New(strings.ReplaceAll(err.Error(), path, "config.toml"))
	}
	return c, err
}

func TestNoSettingsAreTheDefaults(t *testing.T) {
	c, err := load(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Home == "" || !filepath.IsAbs(c.Home) {
		t.Errorf("Home is %q", c.Home)
	}
	c.where, c.Home = nil, ""
	if want := Default(); !reflect.DeepEqual(c, want) {
		t.Errorf("an empty file gives\n%+v, want\n%+v", c, want)
	}
}

// TestBadConfig is the table of operators' mistakes: each is refused with the place, the key and the reason.
func TestBadConfig(t *testing.T) {
	for _, tt := range []struct{ name, text, set, want string }{
		{"misspelt key", "[peers]\nmax_inbound = 3\nmax_outbond = 4\n", "",
			"config.toml:3: peers.max_outbond: unknown key (did you mean max_outbound?)"},
		{"two misspelt keys", "netwrok = 'a'\nmonicker = 'b'\n", "",
			"config.toml:1: netwrok: unknown key (did you mean network?); 1 more unknown keys follow"},
		{"misspelt table", "\n\n[peer]\nmax_inbound = 3\n", "",
			"config.toml:3: peer: unknown key (did you mean peers?)"},
		{"unknown key", "[store]\nsomething_else = 3\n", "",
			"config.toml:2: store.something_else: unknown key (known: path)"},
		{"syntax", "network = \n", "", "config.toml:1: "},
		{"no quotes", "network = my-net\n", "", "config.toml:1: "},
		{"text for number", "[peers]\nmax_inbound = \"many\"\n", "",
			`config.toml:2: peers.max_inbound: want a whole number, got the text "many"`},
		{"number for text", "network = 5\n", "", "config.toml:1: network: want a text, got 5"},
		{"fraction", "[peers]\nmax_inbound = 1.5\n", "",
			"config.toml:2: peers.max_inbound: want a whole number, got 1.5"},
		{"text for list", "[listen]\naddresses = \"/ip4/1.2.3.4/tcp/1\"\n", "",
			`config.toml:2: listen.addresses: want a list of texts, got one text: write ["/ip4/1.2.3.4/tcp/1"]`},
		{"comma list", "[peers]\npersistent = \"" + testAddr + ", " + testAddr + ",b,c,\"\n", "",
			`config.toml:2: peers.persistent: want a list of texts, got one text: write ["` + testAddr + `", "` +
				testAddr + `", ...]`},
		{"comma list in a list", "[peers]\npersistent = [\n\"" + testAddr + "," + testAddr + "\"]\n", "",
			`config.toml:3: peers.persistent: "` + testAddr + "," + testAddr +
				`": an entry has no blanks, commas or quotes; write ["a", "b"]`},
		{"blank in a list", "[listen]\naddresses = [\"/ip4/1.2.3.4/tcp/1 \"]\n", "",
			`config.toml:2: listen.addresses: "/ip4/1.2.3.4/tcp/1 ": an entry has no blanks`},
		{"text for a plug-in's list", "[[discovery]]\nuse = \"static\"\nnames = \"a,b\"\n", "",
			`config.toml:3: discovery.0.names: want a list of texts, got one text: write ["a", "b"]`},
		{"JSON", `{"network": "a"}`, "", "config.toml: this is JSON; want TOML in UTF-8"},
		{"cut JSON", "\n {\"network\":", "", "config.toml: this is JSON; want TOML in UTF-8"},
		{"YAML", "# mine\n\nnetwork: a\n", "", "config.toml: this is YAML; want TOML in UTF-8"},
		{"YAML document", "---\npeers:\n  persistent: []\n", "", "config.toml: this is YAML; want TOML in UTF-8"},
		{"UTF-16", "\xff\xfen\x00e\x00", "", "config.toml: this is UTF-16; want TOML in UTF-8"},
		{"number in list", "[stack]\nwires = ['comet', 5]\n", "",
			"config.toml:2: stack.wires: want a list of texts, but not all of its 2 entries are"},
		{"value for table", "peers = 3\n", "", "config.toml:1: peers: want a table, got 3"},
		{"huge number", "[peers]\nmax_inbound = 99999999999999999999\n", "", "config.toml:2: peers.max_inbound: "},
		{"number for duration", "[limits]\nhandshake_timeout = 5\n", "",
			"config.toml:2: limits.handshake_timeout: want a duration such as \"5s\", got 5"},
		{"duration", "[limits]\nhandshake_timeout = \"5 s\"\n", "",
			`config.toml:2: limits.handshake_timeout: "5 s" is not a duration`},
		{"tiny duration", "[limits]\nhandshake_timeout = \"1ms\"\n", "",
			"config.toml:2: limits.handshake_timeout: 1ms is not in 100ms to 10m0s"},
		{"key twice", "network = 'a'\nnetwork = 'b'\n", "", "config.toml:2: network: "},
		{"empty network", "network = ''\n", "", "config.toml:1: network: empty; give it a name"},
		{"odd network", "network = \"a\\tb\"\n", "",
			`config.toml:1: network: "a\tb" has characters other than printable ASCII`},
		{"long moniker", "moniker = '" + strings.Repeat("m", 51) + "'\n", "",
			"config.toml:1: moniker: 51 bytes long; at most 50 are allowed"},
		{"signer", "[identity]\nsigner = 'unix:///x'\n", "",
			"config.toml:2: identity.signer: this build has no remote signer; use identity.key"},
		{"no key", "[identity]\nkey = ''\n", "", "config.toml:2: identity.key: empty"},
		{"listen address", "[listen]\naddresses = [\n  \"/ip4/0.0.0.0/tcp/26656\",\n  \"/ip4/0.0.0.256/tcp/1\",\n]\n",
			"", `config.toml:4: listen.addresses: "/ip4/0.0.0.256/tcp/1": `},
		{"listen port", "[listen]\naddresses = [\"/ip4/0.0.0.0/tcp/77777\"]\n", "",
			"config.toml:2: listen.addresses: "},
		{"listen with id", "[listen]\naddresses = [\"/ip4/0.0.0.0/tcp/1/mconn/" + testID + "\"]\n", "",
			"config.toml:2: listen.addresses: "},
		{"listen twice", "[listen]\naddresses = [\"/ip4/0.0.0.0/tcp/1\", \"/ip4/0.0.0.0/tcp/1\"]\n", "",
			`config.toml:2: listen.addresses: "/ip4/0.0.0.0/tcp/1" is there twice`},
		{"other transport", "[stack]\ntransports = [\"tcp\", \"webrtc\"]\n", "",
			`config.toml:2: stack.transports: "webrtc": this build has no such transport (known: tcp, memory, quic)`},
		{"other wire", "[stack]\nwires = [\"comet\", \"devp2p\"]\n", "",
			`config.toml:2: stack.wires: "devp2p": this build has no such wire (known: comet, libp2p)`},
		{"other security", "[stack]\nsecurity = [\"nois\"]\n", "",
			`config.toml:2: stack.security: "nois": this build has no such security (did you mean noise?)`},
		{"other muxer", "[stack]\nmuxers = [\"yamux\", \"mplex\"]\n", "",
			`config.toml:2: stack.muxers: "mplex": this build has no such muxer (known: yamux)`},
		{"security twice", "[stack]\nsecurity = [\"tls\", \"tls\"]\n", "",
			`config.toml:2: stack.security: "tls" is there twice`},
		{"no security", "[stack]\nsecurity = []\n", "",
			"config.toml:2: stack.security: empty; stack.wires has a wire that needs a security (known: noise, tls)"},
		{"no muxer", "[stack]\nmuxers = []\n", "",
			"config.toml:2: stack.muxers: empty; stack.wires has a wire that needs a muxer (known: yamux)"},
		{"security of no use", "[stack]\nwires = [\"comet\"]\nsecurity = [\n  \"tls\",\n]\n", "",
			`config.toml:4: stack.security: "tls": no wire of stack.wires (comet) lets one choose a security; ` +
				`remove it, or add libp2p there`},
		{"transport of no use", "[stack]\nwires = [\"comet\"]\ntransports = [\"quic\"]\n", "",
			`config.toml:3: stack.transports: "quic": no wire of stack.wires (comet) takes its connections; ` +
				`remove it, or add libp2p there`},
		{"wire of no use", "[stack]\nwires = [\"libp2p\", \"comet\"]\ntransports = [\"quic\"]\n", "",
			`config.toml:2: stack.wires: "comet": it cannot use a transport of stack.transports (quic); ` +
				`remove it, or add tcp there`},
		{"security table", "[security.tsl]\n", "",
			"config.toml:1: security.tsl: this build has no such security (did you mean tls?)"},
		{"muxer key", "[muxers.yamux]\nmax_per_pi = 4\n", "",
			"config.toml:2: muxers.yamux.max_per_pi: unknown key (did you mean max_per_ip?)"},
		{"misspelt wire", "[stack]\nwires = [\"commet\"]\n", "",
			`config.toml:2: stack.wires: "commet": this build has no such wire (did you mean comet?)`},
		{"no wire", "[stack]\nwires = []\n", "",
			"config.toml:2: stack.wires: empty; a node needs a wire (known: comet, libp2p)"},
		{"persistent without id", "[peers]\npersistent = [\"/ip4/1.2.3.4/tcp/1\"]\n", "",
			`config.toml:2: peers.persistent: "/ip4/1.2.3.4/tcp/1": names no node id`},
		{"bad persistent", "[peers]\npersistent = [\"" + testID[1:] + "@1.2.3.4:1\"]\n", "",
			`config.toml:2: peers.persistent: "`},
		{"bad private", "[peers]\nprivate = [\"xyz\"]\n", "",
			`config.toml:2: peers.private: "xyz": want 40 hex digits or a libp2p peer id`},
		{"shared networks", "[peers]\nshared_networks = [\"" + testID + "\"]", "",
			"config.toml:2: peers.shared_networks: \"" + testID + "\": is a node id"},
		{"negative", "[peers]\nmax_inbound = -1\n", "", "config.toml:2: peers.max_inbound: -1 is not in 0 to 100000"},
		{"no store", "[peers]\nmax_known = 0\n", "", "config.toml:2: peers.max_known: 0 is not in 1 to 10000000"},
		{"fewer known than outbound", "[peers]\nmax_known = 5\n", "",
			"config.toml:2: peers.max_known: 5 is less than peers.max_outbound (8)"},
		{"negative limit", "[limits]\nhandshakes = -5\n", "",
			"config.toml:2: limits.handshakes: -5 is not in 0 (the default) to 100000"},
		{"impossible limit", "[limits]\nhandshakes = 20\nhandshakes_per_ip = 30\n", "",
			"config.toml:3: limits.handshakes_per_ip: 30 is more than limits.handshakes (20)"},
		{"impossible streams", "[limits]\npeer_streams = 20\nprotocol_streams = 30\n", "",
			"config.toml:3: limits.protocol_streams: 30 is more than limits.peer_streams (20)"},
		{"guests", "[peers]\nguests = -1\n", "", "config.toml:2: peers.guests: -1 is not in 0 to 100000"},
		{"many anchors", "[peers]\nanchors = 200\n", "", "config.toml:2: peers.anchors: 200 is not in 0 to 100"},
		{"hasty feelers", "[peers]\nfeeler_interval = \"1ms\"\n", "",
			"config.toml:2: peers.feeler_interval: 1ms is neither 0s (never) nor in 1s to 720h0m0s"},
		{"negative churn", "[peers]\nchurn_interval = \"-1h\"\n", "",
			"config.toml:2: peers.churn_interval: -1h0m0s is neither 0s (never) nor in 1s to 720h0m0s"},
		{"little memory", "[limits]\nmessage_memory = 1000\n", "",
			"config.toml:2: limits.message_memory: 1000 bytes are too few"},
		{"too much memory", "[limits]\nmessage_memory = 1000000000000000\n", "",
			"config.toml:2: limits.message_memory: 1000000000000000 bytes are more than this process may use"},
		{"unknown source", "[[discovery]]\nuse = \"pex\"\n[[discovery]]\nuse = \"pax\"\n", "",
			`config.toml:4: discovery.1.use: "pax": this build has no such source (did you mean pex?)`},
		{"no source", "[[discovery]]\nseed = true\n", "",
			"config.toml:1: discovery.0.use: missing; name the source (known: pex, static)"},
		{"source key", "[[discovery]]\nuse = \"pex\"\nsede = true\n", "",
			"config.toml:3: discovery.0.sede: unknown key (did you mean seed?)"},
		{"source value", "[[discovery]]\nuse = \"pex\"\nseed = 1\n", "",
			"config.toml:3: discovery.0.seed: want true or false, got 1"},
		{"source duration", "[[discovery]]\nuse = \"pex\"\nevery = 1\n", "",
			`config.toml:3: discovery.0.every: want a duration such as "5s", got 1`},
		{"deep source key", "[[discovery]]\nuse = \"pex\"\n[discovery.sub]\ndep_key = 'x'\n", "",
			"config.toml:4: discovery.0.sub.dep_key: unknown key (did you mean deep_key?)"},
		{"unsettable", "[transports.tcp]\nresolver = 'x'\n", "",
			"config.toml:2: transports.tcp.resolver: unknown key (known: "},
		{"unknown service", "[services.ecko]\nenabled = true\n", "",
			"config.toml:1: services.ecko: this build has no service of that name (did you mean echo?)"},
		{"service switch", "[services.echo]\nenabled = \"yes\"\n", "",
			`config.toml:2: services.echo.enabled: want true or false, got the text "yes"`},
		{"service key", "[services.echo]\nenabeld = true\n", "",
			"config.toml:2: services.echo.enabeld: unknown key (did you mean enabled?)"},
		{"plug-in table", "[transports.tpc]\n", "",
			"config.toml:1: transports.tpc: this build has no such transport (did you mean tcp?)"},
		{"admin address", "[admin]\naddress = \"localhost\"\n", "",
			`config.toml:2: admin.address: "localhost": want host:port such as 127.0.0.1:26670`},
		{"admin port", "[admin]\naddress = \"localhost:http\"\n", "",
			`config.toml:2: admin.address: "localhost:http": "http" is not a port`},
		{"admin everywhere", "[admin]\naddress = \":26660\"\n", "",
			`config.toml:2: admin.address: ":26660" would listen everywhere`},

		{"set: no value", "", "peers.max_outbound",
			`--set: "peers.max_outbound": want KEY=VALUE, such as peers.max_outbound=4`},
		{"set: no key", "", "=4", `--set: "=4": want KEY=VALUE`},
		{"set: unknown", "", "peers.max_outbond=4",
			"--set: peers.max_outbond: unknown key (did you mean max_outbound?)"},
		{"set: type", "", "peers.max_outbound=few",
			`--set: peers.max_outbound: want a whole number, got the text "few"`},
		{"set: into a value", "", "network.name=x", "--set: network.name: "},
		{"set: value", "", "peers.max_outbound=-4", "--set: peers.max_outbound: -4 is not in 0 to 100000"},
		{"set: empty part", "", "peers..x=1", "--set: peers..x: an empty part in the key"},
		{"set: address", "", "peers.persistent=['a']", `--set: peers.persistent: "a": `},
		{"set: source", "", "discovery.pax.seed=true", `--set: discovery.1.use: "pax": this build has no such source`},
		{"set: source depth", "", "discovery.pex=true", "--set: discovery.pex: want discovery.PLUGIN.KEY"},
		{"set: source key", "", "discovery.pex.sede=true", "--set: discovery.0.sede: unknown key (did you mean seed?)"},
		{"set: service", "", "services.ecko.enabled=true", "--set: services.ecko: this build has no service"},
		{"set: blank", "", "peers.private=[\"" + testID + " \"]",
			`--set: peers.private: "` + testID + ` ": an entry has no`},
		{"set: text for a plug-in's list", "", "discovery.static.names=a,b",
			`--set: discovery.1.names: want a list of texts, got one text: write ["a", "b"]`},
		{"set: several lines", "", "network=\"a\"\nmoniker=\"b\"", "--set: network: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sets []string
			if tt.set != "" {
				sets = []string{tt.set}
			}
			_, err := load(t, tt.text, sets...)
			if err == nil {
				t.Fatal("accepted")
			}
			if got := err.Error(); !strings.HasPrefix(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("refused with\n\t%s\nwant one line that begins with\n\t%s", got, tt.want)
			}
		})
	}
}

func TestSet(t *testing.T) {
	for _, tt := range []struct {
		set  string
		get  func(Config) any
		want any
	}{
		{"network=other", func(c Config) any { return c.Network }, "other"},
		{"moniker=123", func(c Config) any { return c.Moniker }, "123"},
		{"moniker=true", func(c Config) any { return c.Moniker }, "true"},
		{`moniker="a b"`, func(c Config) any { return c.Moniker }, "a b"},
		{"peers.max_outbound=4", func(c Config) any { return c.Peers.MaxOutbound }, 4},
		{"peers.persistent=" + testAddr, func(c Config) any { return c.Peers.Persistent }, []string{testAddr}},
		{`peers.persistent=["` + testAddr + `"]`, func(c Config) any { return c.Peers.Persistent }, []string{testAddr}},
		{"listen.addresses=[]", func(c Config) any { return c.Listen.Addresses }, []string{}},
		{"limits.handshake_timeout=3s", func(c Config) any { return time.Duration(c.Limits.HandshakeTimeout) },
			3 * time.Second},
		{"admin.address=", func(c Config) any { return c.Admin.Address }, ""},
		{"store.path=\"\"", func(c Config) any { return c.Store.Path }, ""},
		{"services.echo.enabled=true", func(c Config) any { return c.Services["echo"]["enabled"] }, true},
		{"discovery.pex.seed=true", func(c Config) any { return c.Discovery }, []Table{{"use": "pex", "seed": true}}},
		{"discovery.static.names=['a']", func(c Config) any { return c.Discovery },
			[]Table{{"use": "pex"}, {"use": "static", "names": []any{"a"}}}},
		{"discovery=[]", func(c Config) any { return c.Discovery }, []Table{}},
		{`discovery=[{use="static"}]`, func(c Config) any { return c.Discovery }, []Table{{"use": "static"}}},
		{"transports.tcp.every=3s", func(c Config) any { return c.Transports["tcp"]["every"] }, "3s"},
	} {
		t.Run(tt.set, func(t *testing.T) {
			c, err := load(t, "network = 'n'\n[peers]\nmax_inbound = 7\n", tt.set)
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.get(c); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, want %#v", got, tt.want)
			}
			if c.Peers.MaxInbound != 7 {
				t.Error("another key changed too")
			}
		})
	}
}

// TestSetSplitsTexts sets lists in the forms in which people paste them.
func TestSetSplitsTexts(t *testing.T) {
	entries := []string{testID + "@a.example:1", testID + "@[2001:db8::1]:2", "/ip4/1.2.3.4/tcp/3/mconn/" + testID}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		want := entries[:random.IntN(len(entries)+1)]
		quote := []string{"", `"`, "'"}[random.IntN(3)]
		blank := func() string { return []string{"", " ", "\t", "\n  "}[random.IntN(4)] }
		var text strings.Builder
		for i, e := range want {
			text.WriteString(blank() + quote + e + quote + blank())
			if i < len(want)-1 || random.IntN(2) == 0 {
				text.WriteString(",")
			}
		}
		given := text.String()
		if random.IntN(2) == 0 {
			given = "[" + given + "]"
		}
		c := Default()
		if err := c.Set("peers.persistent=" + given); err != nil || !slices.Equal(c.Peers.Persistent, want) {
			t.Fatalf("%q gives %q (%v), want %q", given, c.Peers.Persistent, err, want)
		}
	}
}

func TestByteOrderMark(t *testing.T) {
	c, err := load(t, "\ufeffnetwork = 'n'\n")
	if err != nil || c.Network != "n" {
		t.Errorf("network %q, %v", c.Network, err)
	}
}

// TestDecodeTable shows that every kind of a plug-in's keys reaches its Config, with and without toml tags.
func TestDecodeTable(t *testing.T) {
	c, err := load(t, "[[discovery]]\nuse='pex'\nseed=true\nmax_per_ip=5\nevery='1m30s'\nnames=['a','b']\n"+
		"other_name='x'\n[discovery.sub]\ndeep_key='y'\n")
	if err != nil {
		t.Fatal(err)
	}
	got := fakeDefaults()
	if err := decodeTable(&c, "discovery.0", c.Discovery[0], &got, "use"); err != nil {
		t.Fatal(err)
	}
	want := fakePlugin{Seed: true, MaxPerIP: 5, Every: 90 * time.Second, Names: []string{"a", "b"}, TaggedField: "x"}
	want.Sub.DeepKey = "y"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestRender shows that the file that init writes reads back to the same values.
func TestRender(t *testing.T) {
	odd := Default()
	odd.Network, odd.Moniker = `quo"te\`, "# not a comment"
	odd.Peers.Persistent = []string{testAddr}
	odd.Limits.HandshakeTimeout = Duration(1500 * time.Millisecond)
	odd.Discovery = []Table{{"use": "static", "names": []any{"a", `b"`}, "sub": map[string]any{"deep_key": "z"}},
		{"use": "pex", "seed": true, "every": "3s"}}
	odd.Services = map[string]Table{"echo": {"enabled": true, "max_per_ip": int64(3)}}
	odd.Services["relay"] = Table{"enabled": false, "fanout": int64(3)}
	odd.Transports = map[string]Table{"tcp": {"every": "5s"}}
	odd.Muxers = map[string]Table{"yamux": {"max_per_ip": int64(4)}}
	odd.Admin.Address, odd.Store.Path = "", ""
	none := Default()
	none.Discovery = []Table{}
	for i, c := range []Config{Default(), odd, none} {
		text := Render(c, catalogue()...)
		got, err := load(t, string(text))
		if err != nil {
			t.Fatalf("%d: %v\n%s", i, err, text)
		}
		got.where, got.Home = nil, ""
		if c.Services["echo"] == nil {
			c.Services = map[string]Table{"echo": {"enabled": false}}
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c) {
			t.Errorf("%d: wrote\n%s\nread back\n%+v, want\n%+v", i, text, got, c)
		}
	}
}

// TestDocumented holds docs/configuration.md and the keys together.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	var walk func(prefix string, of reflect.Type)
	walk = func(prefix string, of reflect.Type) {
		for f := range fields(of) {
			key := join(prefix, keyOf(f))
			if f.Type.Kind() == reflect.Struct {
				walk(key, f.Type)
				continue
			}
			if !strings.Contains(string(doc), "`"+key) {
				t.Errorf("docs/configuration.md does not name `%s`", key)
			}
		}
	}
	walk("", reflect.TypeFor[Config]())
}

func TestDerive(t *testing.T) {
	small := LimitsConfig{}.Derive(Machine{Memory: 256 << 20, Files: 256})
	large := LimitsConfig{}.Derive(Machine{Memory: 64 << 30, Files: 1 << 20})
	if small.Handshakes != 32 || small.MessageMemory != 64<<20 || large.Handshakes != 512 ||
		large.MessageMemory != 8<<30 {
		t.Errorf("small machine: %+v, large machine: %+v", small, large)
	}
	given := LimitsConfig{Handshakes: 9, HandshakesPerIP: 2, AttemptsPerIP: 3, ConnectionsPerIP: 4,
		ConnectionsPerGroup: 5, HandshakeTimeout: 6, MessageMemory: 7,
		PeerStreams: 8, ProtocolStreams: 7}
	if got := given.Derive(ThisMachine()); got != given {
		t.Errorf("what was given changed: %+v", got)
	}
	if m := ThisMachine(); m.Memory < 1<<20 || m.Files < 16 {
		t.Errorf("this machine: %+v", m)
	}
}

// TestTooFewFiles shows that limits that the process cannot keep are refused.
func TestTooFewFiles(t *testing.T) {
	c := Default()
	err := c.validate(Machine{Memory: 1 << 30, Files: 64}, catalogue())
	var ce *ConfigError
	if !errors.As(err, &ce) || ce.Key != "peers.max_inbound" || !strings.Contains(ce.Reason, "ulimit -n") {
		t.Errorf("got %v", err)
	}
}

func TestKeyOf(t *testing.T) {
	for name, want := range map[string]string{"Seed": "seed", "MaxPeers": "max_peers", "PeersPerIP": "peers_per_ip",
		"IPLimit": "ip_limit", "A": "a"} {
		if got := keyOf(reflect.StructField{Name: name}); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(""))
	f.Add(Render(Default(), catalogue()...))
	f.Add([]byte("[[discovery]]\nuse='pex'\n[discovery.sub]\ndeep_key='y'\n[[discovery]]\nuse=['x']\n"))
	f.Add([]byte("services.echo = { enabled = true, \"a.b\" = [1, [2, {c = 3}]] }\n"))
	f.Add([]byte("[services]\nx=3\n"))
	f.Add([]byte("[peers]\npersistent = [ # list\n  'a', # one\n 'b' ]\n"))
	f.Add([]byte("a.b.c = 1979-05-27T07:32:00Z\n"))
	plugins := catalogue()
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("config.toml", data)
		if err == nil {
			err = c.Validate(plugins...)
		}
		if err == nil {
			again, err := Parse("again", Render(c, plugins...))
			if err == nil {
				err = again.Validate(plugins...)
			}
			if err != nil {
				t.Errorf("what was accepted is refused once written: %v", err)
			}
			return
		}
		var ce *ConfigError
		if !errors.As(err, &ce) || ce.Where == "" && ce.Key == "" {
			t.Errorf("error of type %T: %v", err, err)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("more than one line: %q", err)
		}
	})
}

func FuzzSet(f *testing.F) {
	for _, s := range []string{"network=x", "peers.max_outbound=4", "discovery.pex.seed=true", "discovery=[]", "a=b",
		"=", "peers.persistent=['a', 'b']", "services.echo=3", "0\n0=1"} {
		f.Add(s)
	}
	plugins := catalogue()
	f.Fuzz(func(t *testing.T, s string) {
		c := Default()
		before := fmt.Sprintf("%+v", c)
		err := c.Set(s)
		if err != nil && fmt.Sprintf("%+v", c) != before {
			t.Errorf("refused, and changed something all the same: %v", err)
		}
		if err == nil {
			err = c.Validate(plugins...)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("more than one line: %q", err)
		}
	})
}

// TestFit shows how the defaults shrink where the other choices, or the catalogue, have no use for a part of them.
func TestFit(t *testing.T) {
	lists := func(c Config) string {
		return strings.Join([]string{strings.Join(c.Stack.Transports, ","), strings.Join(c.Stack.Wires, ","),
			strings.Join(c.Stack.Security, ","),
			strings.Join(c.Stack.Muxers, ","), strings.Join(c.Listen.Addresses, ",")}, " ")
	}
	const tcp, quic = "/ip4/0.0.0.0/tcp/26656", "/ip4/0.0.0.0/udp/26656/quic-v1"
	old := catalogue()[:2] // a build without libp2p
	old = append(old, catalogue()[3], catalogue()[8])
	for _, tt := range []struct {
		name    string
		sets    []string
		plugins []Plugin
		want    string
	}{
		{"all", nil, catalogue(), "tcp,quic comet,libp2p noise,tls yamux " + tcp + "," + quic},
		{"comet", []string{`stack.wires=["comet"]`}, catalogue(), "tcp comet   " + tcp},
		{"libp2p", []string{`stack.wires=["libp2p"]`}, catalogue(),
			"tcp,quic libp2p noise,tls yamux " + tcp + "," + quic},
		{"QUIC", []string{`stack.transports=["quic"]`}, catalogue(), "quic libp2p noise,tls yamux " + quic},
		{"TCP", []string{`stack.transports=["tcp"]`}, catalogue(), "tcp comet,libp2p noise,tls yamux " + tcp},
		{"own lists stay", []string{`stack.security=["tls"]`, "listen.addresses=/ip4/1.2.3.4/tcp/1"}, catalogue(),
			"tcp,quic comet,libp2p tls yamux /ip4/1.2.3.4/tcp/1"},
		{"smaller build", nil, old, "tcp comet   " + tcp},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Default()
			for _, s := range tt.sets {
				if err := c.Set(s); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Validate(tt.plugins...); err != nil {
				t.Error(err)
			}
			before := lists(c)
			fitted := c.Fit(tt.plugins...)
			if got := lists(fitted); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if again := lists(fitted.Fit(tt.plugins...)); again != tt.want || lists(c) != before {
				t.Errorf("fitted again: %s; the original is now %s", again, lists(c))
			}
		})
	}
}

// TestAbsentServices shows which tables of services are accepted that this build lacks.
func TestAbsentServices(t *testing.T) {
	for _, text := range []string{"[services.relay]\nenabled = true\n", "[services.relay]\nfanout = 3\n",
		"[services.relay]\nenabled = false\n", "[services.unheard]\nenabled = false\n"} {
		if _, err := load(t, text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Overlay reads a document over a configuration: what the document does not name stays.
func TestOverlay(t *testing.T) {
	base := Default()
	base.Network, base.Discovery = "chain", []Table{{"use": "static"}}
	c, err := base.Overlay("more.toml", []byte("[peers]\nmax_inbound = 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Network != "chain" || c.Peers.MaxInbound != 3 || len(c.Discovery) != 1 || c.Discovery[0]["use"] != "static" {
		t.Errorf("%+v", c)
	}
	if c, err = base.Overlay("more.toml", []byte("discovery = []\n")); err != nil || len(c.Discovery) != 0 {
		t.Errorf("%+v: %v", c.Discovery, err)
	}
	if _, err = base.Overlay("more.toml", []byte("\npeer = 1\n")); err == nil ||
		!strings.HasPrefix(err.Error(), "more.toml:2: ") {
		t.Errorf("got %v", err)
	}
}
