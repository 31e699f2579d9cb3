package host

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// brokenIdentity is a signer that cannot be reached.
type brokenIdentity struct{ handshake.Identity }

func (brokenIdentity) PublicKey(context.Context) (handshake.PublicKey, error) {
	return handshake.PublicKey{}, errors.New("signer: connection refused")
}

// New refuses what cannot work, and names it.
func TestNewSaysWhatIsWrong(t *testing.T) {
	for want, spoil := range map[string]func(*Config){
		"network":          func(c *Config) { c.Network = "" },
		"identity":         func(c *Config) { c.Identity = nil },
		"signer":           func(c *Config) { c.Identity = brokenIdentity{} },
		"store":            func(c *Config) { c.Store = nil },
		"stack.transports": func(c *Config) { c.Transports = nil },
		"stack.wires":      func(c *Config) { c.Wires = nil },
		"moniker":          func(c *Config) { c.Moniker = "Zürich" },
		"peers.persistent": func(c *Config) {
			c.Peers.Persistent = []transport.Address{mustAddress(t, "1.2.3.4:5")}
		},
		"limits.handshakes":        func(c *Config) { c.Handshake.Limits.Handshakes = -1 },
		"limits.handshake_timeout": func(c *Config) { c.Handshake.Timeout = -1 },
	} {
		cfg := testConfig()
		spoil(&cfg)
		if _, err := New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	h, _ := newTestHost(t, testConfig())
	if h.Self() != testKey(0).ID() || h.PublicKey() != testKey(0).Public() || h.Network() != "unit" ||
		h.Moniker() != "switchyard" || h.cfg.Version != "switchyard" {
		t.Errorf("the host is %s %s %s", h.Self(), h.Network(), h.Moniker())
	}
	if _, err := h.Dial(t.Context(), mustAddress(t, "/ip4/1.2.3.4/tcp/1/mconn/"+string(peerID(1)))); err == nil ||
		!strings.Contains(err.Error(), "does not run") {
		t.Errorf("Dial of a host that does not run: %v", err)
	}
	l := (Limits{MessageMemory: -1}).withDefaults()
	if l.MessageMemory != 256<<20 || l.PeerOverflow != 1<<20 || l.Dials != 16 || l.DialTimeout == 0 ||
		l.DialStagger == 0 {
		t.Errorf("the default limits are %+v", l)
	}
}

// What we say of ourselves: External, or where we listen, with the local IP of the connection in place of an
// unspecified one.
func TestOurNodeInfo(t *testing.T) {
	cfg := testConfig()
	cfg.Moniker, cfg.Version = "me", "v1"
	h, _ := newTestHost(t, cfg, muxer.Channel{ID: 7}, muxer.Channel{ID: 1})
	h.peers.SetHeight(h.Self(), 42)
	h.listeners = []transport.Listener{&fakeListener{}}
	info := h.infoFor(connFrom("9.9.9.9").LocalMultiaddr(), netip.MustParseAddr("9.9.9.9"))
	if info.ID != h.Self() || info.Moniker != "me" || info.Version != "v1" || info.Network != "unit" ||
		info.Height != 42 || string(info.Channels) != "\x07\x01" {
		t.Errorf("our info is %+v", info)
	}
	if len(info.Listen) != 1 || info.Listen[0] != "/ip4/1.2.3.4/tcp/1" {
		t.Errorf("we listen on %v", info.Listen)
	}
	if a := h.SelfAddresses(); len(a) != 2 || a[0].ID() != h.Self() || a[1].ID() != h.Self() ||
		a[0].Wire() == a[1].Wire() {
		t.Errorf("our addresses are %v", a)
	}

	h.cfg.External = []ma.Multiaddr{ma.StringCast("/dns/me.example/tcp/5"), ma.StringCast("/ip4/0.0.0.0/tcp/6")}
	info = h.infoFor(connFrom("9.9.9.9").LocalMultiaddr(), netip.MustParseAddr("9.9.9.9"))
	if len(info.Listen) != 2 || info.Listen[1] != "/dns/me.example/tcp/5" || info.Listen[0] != "/ip4/1.2.3.4/tcp/6" {
		t.Errorf("we listen on %v", info.Listen)
	}
	if info = h.infoFor(nil, netip.Addr{}); !slices.Contains(info.Listen, "/ip4/0.0.0.0/tcp/6") {
		t.Errorf("without a connection we listen on %v", info.Listen)
	}
	for _, a := range h.SelfAddresses() {
		if strings.Contains(a.String(), "0.0.0.0") || a.ID() != h.Self() {
			t.Errorf("one of our addresses is %v", a)
		}
	}
}
