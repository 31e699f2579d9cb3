package modules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/host/echo"
	"github.com/switchyard-p2p/switchyard/internal/stock"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// TestEveryOptionReachesItsConsumer changes each key of the configuration and looks for it where it is used. A key
// without a row fails the test.
func TestEveryOptionReachesItsConsumer(t *testing.T) {
	t.Chdir(t.TempDir()) // for configurations without a home
	inHost := func(of func(host.Config) any) func(*testing.T, Config) any {
		return func(t *testing.T, c Config) any {
			h, err := hostConfig(&c, Machine{Memory: 4 << 30, Files: 4096})
			if err != nil {
				t.Fatal(err)
			}
			return of(h)
		}
	}
	build := func(t *testing.T, c Config, target any, more ...Plugin) {
		t.Helper()
		c.Home = t.TempDir()
		if c.Store.Path == Default().Store.Path {
			c.Store.Path = ""
		}
		if err := fx.New(Node(c, realPlugins(nil, more...)...), fx.Populate(target)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	id := transport.NodeID(testID)
	address, err := transport.ParseAddress(testAddr)
	if err != nil {
		t.Fatal(err)
	}
	systems := filepath.Join(t.TempDir(), "systems")
	if err := os.WriteFile(systems, []byte("192.0.2.0/24 AS64496\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type row struct {
		set  string
		at   func(*testing.T, Config) any
		want any
	}
	rows := []row{
		{"network=other", inHost(func(c host.Config) any { return c.Network }), "other"},
		{"moniker=me", inHost(func(c host.Config) any { return c.Moniker }), "me"},
		{"identity.key=other.json", func(t *testing.T, c Config) any {
			c.Home = t.TempDir()
			key := handshake.NewIdentity([32]byte{9})
			if err := handshake.SaveNodeKey(filepath.Join(c.Home, "other.json"), key); err != nil {
				t.Fatal(err)
			}
			got, err := loadIdentity(&c, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			public, _ := got.PublicKey(t.Context())
			return public == key.Public()
		}, true},
		{"listen.addresses=/ip4/127.0.0.1/tcp/7", inHost(func(c host.Config) any { return fmt.Sprint(c.Listen) }),
			"[/ip4/127.0.0.1/tcp/7]"},
		{"listen.external=/ip4/9.9.9.9/tcp/7", inHost(func(c host.Config) any { return fmt.Sprint(c.External) }),
			"[/ip4/9.9.9.9/tcp/7]"},
		{"listen.observers=5", inHost(func(c host.Config) any { return c.Observers }), 5},
		{"listen.observers=0", inHost(func(c host.Config) any { return c.Observers }), -1},
		{`stack.transports=["other","tcp"]`, func(t *testing.T, c Config) any {
			var got []transport.Transport
			build(t, c, &got, Transport("other", zero[struct{}], func(struct{}) (transport.Transport, error) {
				return namedTransport{tcp.New(tcp.Config{}), "other"}, nil
			}))
			return got[0].Name() + " " + got[1].Name()
		}, "other tcp"},
		{`stack.wires=["other","comet"]`, func(t *testing.T, c Config) any {
			var got []handshake.Wire
			build(t, c, &got, Wire("other", zero[mconn.Config],
				func(mconn.Config, WireEnv) (handshake.Wire, error) { return otherWire{}, nil }))
			return got[0].Name() + " " + got[1].Name()
		}, "other comet"},
		{`stack.security=["tls","noise"]`, func(t *testing.T, c Config) any {
			var got []handshake.Security
			build(t, c, &got)
			return got[0].Name() + " " + got[1].Name()
		}, "tls noise"},
		{`stack.muxers=["other","yamux"]`, func(t *testing.T, c Config) any {
			var got []muxer.StreamMuxer
			build(t, c, &got, Muxer("other", zero[struct{}], func(struct{}, MuxerEnv) (otherMuxer, error) {
				return otherMuxer{}, nil
			}))
			return got[0].Name() + " " + got[1].Name()
		}, "other yamux"},
		{"peers.persistent=" + testAddr, inHost(func(c host.Config) any { return c.Peers.Persistent }),
			[]transport.Address{address}},
		{"peers.unconditional=" + testID, inHost(func(c host.Config) any { return c.Peers.Unconditional }),
			[]transport.NodeID{id}},
		{"peers.private=" + testID, inHost(func(c host.Config) any { return c.Peers.Private }), []transport.NodeID{id}},
		{"peers.allow_networks=192.0.2.0/24", inHost(func(c host.Config) any { return c.Allow }),
			[]peerstore.Target{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}},
		{"peers.allow_guests=" + testID, inHost(func(c host.Config) any { return c.AllowGuests }),
			[]transport.NodeID{id}},
		{"peers.bootstrap=" + testAddr, func(t *testing.T, c Config) any {
			var st peerstore.Store
			build(t, c, &st)
			r, ok := st.Get(id)
			return ok && r.Addresses[0].Source.Kind == "config"
		}, true},
		{"peers.max_outbound=3", inHost(func(c host.Config) any { return c.Peers.MaxOutbound }), 3},
		// none, which is the host's negative
		{"peers.max_outbound=0", inHost(func(c host.Config) any { return c.Peers.MaxOutbound }), -1},
		{"peers.max_inbound=3", inHost(func(c host.Config) any { return c.Peers.MaxInbound }), 3},
		{"peers.max_inbound=0", inHost(func(c host.Config) any { return c.Peers.MaxInbound }), -1},
		{"peers.guests=3", inHost(func(c host.Config) any { return c.Peers.Guests }), 3},
		{"peers.prefer_quic=false", inHost(func(c host.Config) any { return c.MoveTo == nil }), true},
		{"peers.dialed_guests=3", inHost(func(c host.Config) any { return c.Peers.DialedGuests }), 3},
		{"peers.guests=0", inHost(func(c host.Config) any { return c.Peers.Guests }), -1},
		{"peers.max_known=9", func(t *testing.T, c Config) any {
			var st peerstore.Store
			build(t, c, &st)
			for i := range 20 {
				a, err := transport.ParseAddress(fmt.Sprintf("%040x@10.%d.0.1:26656", i+1, i+1))
				if err != nil {
					t.Fatal(err)
				}
				st.Add(a, peerstore.Source{Kind: fmt.Sprint("test", i)}, time.Now())
			}
			return st.Stats().Known
		}, 9},
		{"peers.shared_networks=10.1.0.0/16,192.0.2.1", inHost(func(c host.Config) any {
			return c.Peers.SharedNetworks
		}), []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("192.0.2.1/32")}},
		{"peers.outbound_per_group=3", inHost(func(c host.Config) any { return c.Peers.OutboundPerGroup }), 3},
		{"peers.outbound_per_group=0", inHost(func(c host.Config) any { return c.Peers.OutboundPerGroup }), -1},
		{"peers.anchors=5", inHost(func(c host.Config) any { return c.Peers.Anchors }), 5},
		{"peers.anchors=0", inHost(func(c host.Config) any { return c.Peers.Anchors }), -1},
		{"peers.feeler_interval=7s", inHost(func(c host.Config) any { return c.Peers.Feelers }), 7 * time.Second},
		{"peers.feeler_interval=0s", inHost(func(c host.Config) any { return c.Peers.Feelers }), time.Duration(-1)},
		{"peers.churn_interval=7m", inHost(func(c host.Config) any { return c.Peers.Churn }), 7 * time.Minute},
		{"peers.churn_interval=0s", inHost(func(c host.Config) any { return c.Peers.Churn }), time.Duration(-1)},
		{"peers.as_map=" + systems, func(t *testing.T, c Config) any {
			var st peerstore.Store
			build(t, c, &st)
			return st.Groups().OfIP(netip.MustParseAddr("192.0.2.7")).String()
		}, "AS64496"},
		{"limits.handshakes=77", inHost(func(c host.Config) any { return c.Handshake.Limits.Handshakes }), 77},
		{"limits.handshakes_per_ip=7", inHost(func(c host.Config) any { return c.Handshake.Limits.HandshakesPerIP }),
			7},
		{"limits.attempts_per_ip=7", inHost(func(c host.Config) any { return c.Handshake.Limits.AttemptsPerIP }), 7},
		{"limits.connections_per_ip=7", inHost(func(c host.Config) any { return c.Peers.ConnectionsPerIP }), 7},
		{"limits.connections_per_group=7", inHost(func(c host.Config) any { return c.Peers.ConnectionsPerGroup }), 7},
		{"limits.handshake_timeout=7s", inHost(func(c host.Config) any { return c.Handshake.Timeout }),
			7 * time.Second},
		{"limits.message_memory=7777777", inHost(func(c host.Config) any { return c.Limits.MessageMemory }),
			int64(7777777)},
		{"limits.peer_streams=7", inHost(func(c host.Config) any { return c.Limits.PeerStreams }), 7},
		{"limits.protocol_streams=7", inHost(func(c host.Config) any { return c.Limits.ProtocolStreams }), 7},
		{"discovery.static.addresses=" + `["` + testAddr + `"]`, func(t *testing.T, c Config) any {
			c.Home, c.Store.Path, c.Admin.Address = t.TempDir(), "", ""
			c.Listen.Addresses = nil
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var st peerstore.Store
			var h *host.Host
			found := false
			err := Run(ctx, Node(c, realPlugins(nil)...), fx.Populate(&st, &h), fx.Invoke(func(lc fx.Lifecycle) {
				lc.Append(fx.StartHook(func() {
					for !found && ctx.Err() == nil { // another goroutine adds it
						_, found = st.Get(id)
					}
					cancel()
				}))
			}))
			if err != nil {
				t.Fatal(err)
			}
			return found
		}, true},
		{"services.echo.enabled=true", func(t *testing.T, c Config) any {
			var h *host.Host
			build(t, c, &h)
			_, err := h.OpenChannel(muxer.Channel{ID: echo.ChannelID})
			return err != nil // the service has it
		}, true},
		{"store.path=here/peers", func(t *testing.T, c Config) any {
			c.Home = t.TempDir()
			st, err := OpenStore(&c, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			_, err = os.Stat(filepath.Join(c.Home, "here", "peers"))
			return err
		}, nil},
		{"admin.address=127.0.0.1:7", func(_ *testing.T, c Config) any { return adminConfig(&c).Address },
			"127.0.0.1:7"},
		{"admin.protect=all", func(_ *testing.T, c Config) any { return adminConfig(&c).Protect }, admin.ProtectAll},
		{"admin.insecure_remote=true", func(_ *testing.T, c Config) any { return adminConfig(&c).InsecureRemote },
			true},
		{"admin.socket_mode=0660", func(_ *testing.T, c Config) any { return adminConfig(&c).SocketMode },
			fs.FileMode(0o660)},
		{"admin.group=wheel", func(_ *testing.T, c Config) any { return adminConfig(&c).Group }, "wheel"},
		{"admin.token_file=t", func(t *testing.T, c Config) any {
			c.Home = t.TempDir()
			if err := os.WriteFile(filepath.Join(c.Home, "t"), []byte(strings.Repeat("x", 32)), 0o600); err != nil {
				t.Fatal(err)
			}
			token, err := c.adminToken()
			if err != nil {
				t.Error(err)
			}
			return token
		}, strings.Repeat("x", 32)},
		{"log.level=debug", func(_ *testing.T, c Config) any { return c.Log.Level }, "debug"},
		{"log.format=json", func(_ *testing.T, c Config) any { return c.Log.Format }, "json"},
		{"admin.pprof=true", func(_ *testing.T, c Config) any { return adminConfig(&c).Profile }, true},
		{"transports.tcp.keep_alive=7s", inTCP(func(c tcp.Config) any { return c.KeepAlive }), 7 * time.Second},
		{"transports.tcp.proxy=127.0.0.1:9050", inTCP(func(c tcp.Config) any { return c.Proxy }), "127.0.0.1:9050"},
		{"transports.tcp.proxy_all=true", func(t *testing.T, c Config) any {
			c.Transports["tcp"]["proxy"] = "127.0.0.1:9050" // it needs one
			return inTCP(func(c tcp.Config) any { return c.ProxyAll })(t, c)
		}, true},
		{"wires.comet.ping_interval=7s", func(t *testing.T, c Config) any {
			c.Home = t.TempDir()
			var got mconn.Config
			spy := Wire("comet", zero[mconn.Config], func(c mconn.Config, env WireEnv) (handshake.Wire, error) {
				got = c
				return stock.Comet(c, env.MessageMemory, env.Identity, env.Logger)
			})
			var built []handshake.Wire
			if err := fx.New(Base(c), Handshake(c, spy), fx.Populate(&built)).Err(); err != nil {
				t.Fatal(err)
			}
			return got.PingInterval
		}, 7 * time.Second},
		{"muxers.yamux.max_streams=7", func(t *testing.T, c Config) any {
			var got yamux.Config
			spy := Muxer("yamux", zero[yamux.Config], func(c yamux.Config, _ MuxerEnv) (*yamux.Muxer, error) {
				got = c
				return yamux.New(c)
			})
			var built []muxer.StreamMuxer
			if err := fx.New(Base(c), Handshake(c, spy), fx.Populate(&built)).Err(); err != nil {
				t.Fatal(err)
			}
			return got.MaxStreams
		}, 7},
		{"security.tls.post_quantum=false", func(t *testing.T, c Config) any {
			got := stock.DefaultTLS()
			spy := Security("tls", stock.DefaultTLS, func(c stock.TLSConfig) (handshake.Security, error) {
				got = c
				return stock.TLS(c)
			})
			var built []handshake.Security
			if err := fx.New(Base(c), Handshake(c, spy), fx.Populate(&built)).Err(); err != nil {
				t.Fatal(err)
			}
			return got.PostQuantum
		}, false},
	}
	for key, of := range map[string]func(SignerEnv) string{
		"signer":      func(e SignerEnv) string { return e.Address.Host },
		"signer_ca":   func(e SignerEnv) string { return e.CA },
		"signer_cert": func(e SignerEnv) string { return e.Cert },
		"signer_key":  func(e SignerEnv) string { return e.Key },
	} {
		want := "/other.pem"
		if key == "signer" {
			want = "other:1"
		}
		set := "identity." + key + "=" + strings.Replace(want, "other:", "tls://other:", 1)
		rows = append(rows, row{set, func(t *testing.T, c Config) any {
			c.Identity.Signer = cmp.Or(c.Identity.Signer, "tls://host:1")
			var got SignerEnv
			_, err := c.OpenSigner(nil, Signer(func(env SignerEnv) (SignerConn, error) {
				got = env
				return nil, errors.New("not today")
			}))
			if err == nil {
				t.Error("it opens")
			}
			return of(got)
		}, want})
	}
	covered := map[string]bool{}
	for _, tt := range rows {
		key, _, _ := strings.Cut(tt.set, "=")
		for k := key; k != ""; k = parent(k) {
			covered[k] = true
		}
		t.Run(tt.set, func(t *testing.T) {
			c := Default()
			if err := c.Set(tt.set); err != nil {
				t.Fatal(err)
			}
			if got := tt.at(t, c); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("its consumer has %#v, want %#v", got, tt.want)
			}
		})
	}
	var walk func(prefix string, of reflect.Type)
	walk = func(prefix string, of reflect.Type) {
		for f := range fields(of) {
			key := join(prefix, keyOf(f))
			if f.Type.Kind() == reflect.Struct {
				walk(key, f.Type)
			} else if !covered[key] {
				t.Errorf("no row shows that %s reaches its consumer", key)
			}
		}
	}
	walk("", reflect.TypeFor[Config]())
}

func parent(key string) string {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return ""
	}
	return key[:i]
}

type otherWire struct{ handshake.Wire }

func (otherWire) Name() string { return "other" }

type otherMuxer struct{ muxer.StreamMuxer }

func (otherMuxer) Name() string     { return "other" }
func (otherMuxer) Protocol() string { return "/other" }

// inTCP builds the TCP transport with a configuration and returns what get finds in its settings.
func inTCP(get func(tcp.Config) any) func(*testing.T, Config) any {
	return func(t *testing.T, c Config) any {
		var got tcp.Config
		spy := Transport("tcp", zero[tcp.Config], func(c tcp.Config) (transport.Transport, error) {
			got = c
			return tcp.New(c), nil
		})
		var built []transport.Transport
		if err := fx.New(Base(c), Transports(c, spy), fx.Populate(&built)).Err(); err != nil {
			t.Fatal(err)
		}
		return get(got)
	}
}
