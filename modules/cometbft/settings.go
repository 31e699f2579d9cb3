package cometbft

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cometbft/cometbft/config"
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/modules"
)

// File is Switchyard's own configuration in a node's home. It may be missing.
const File = "config/switchyard.toml"

// storeFolder is the peer store within the node's data folder.
const storeFolder = "switchyard-peers"

// settings makes Switchyard's configuration of [p2p] in config.toml, with switchyard.toml over it.
func (y *yard) settings(log *slog.Logger) (modules.Config, error) {
	base, err := y.base()
	if err != nil {
		return base, err
	}
	c, err := overlay(base, filepath.Join(y.config.RootDir, filepath.FromSlash(File)))
	if err != nil {
		return c, err
	}
	c.Home, c.Version = base.Home, base.Version
	y.complete(&c, base)
	if y.Configure != nil {
		y.Configure(&c)
	}
	y.logIgnored(log, &c)
	return c, nil
}

// base is what config.toml says.
func (y *yard) base() (modules.Config, error) {
	cfg := y.config.P2P
	c := modules.Default()
	home, err := filepath.Abs(y.config.RootDir)
	if err != nil {
		return c, err
	}
	c.Home, c.Version = home, y.info.Version
	c.Network, c.Moniker = y.info.Network, shortName(y.info.Moniker)
	if c.Identity.Key, err = filepath.Abs(y.config.NodeKeyFile()); err != nil {
		return c, err
	}
	if c.Store.Path, err = filepath.Abs(filepath.Join(y.config.DBDir(), storeFolder)); err != nil {
		return c, err
	}
	if c.Listen.Addresses, err = bothTransports(y.listen); err != nil {
		return c, fmt.Errorf("p2p.laddr: %w", err)
	}
	if cfg.ExternalAddress != "" {
		if c.Listen.External, err = bothTransports(cfg.ExternalAddress); err != nil {
			return c, fmt.Errorf("p2p.external_address: %w", err)
		}
	}
	c.Peers.MaxInbound, c.Peers.MaxOutbound = cfg.MaxNumInboundPeers, cfg.MaxNumOutboundPeers
	c.Peers.Guests, c.Peers.DialedGuests = 0, 0 // they name no network: switchyard.toml may let some in
	c.Limits.HandshakeTimeout = modules.Duration(min(max(cfg.HandshakeTimeout, 100*time.Millisecond), 10*time.Minute))
	c.Admin.Address = "" // its default port is that of CometBFT's metrics
	switch {
	case !cfg.PexReactor:
		// As without CometBFT's reactor, nothing is dialed but persistent peers and what RPC asks for.
		c.Discovery, c.Peers.MaxOutbound = []modules.Table{}, 0
	case cfg.SeedMode:
		c.Discovery = []modules.Table{{"use": "pex", "seed": true}}
	}
	return c, nil
}

// StorePath returns the folder of the peer store of a node with this configuration; "" if it keeps its peers in memory.
func StorePath(cfg *config.Config) (string, error) {
	home, err := filepath.Abs(cfg.RootDir)
	if err != nil {
		return "", err
	}
	c := modules.Default()
	c.Home = home
	if c.Store.Path, err = filepath.Abs(filepath.Join(cfg.DBDir(), storeFolder)); err != nil {
		return "", err
	}
	over, err := overlay(c, filepath.Join(home, filepath.FromSlash(File)))
	if err != nil {
		return "", err
	}
	over.Home = home
	return over.Path(over.Store.Path), nil
}

// overlay reads a file over c. Without one it returns c.
func overlay(c modules.Config, path string) (modules.Config, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	over, err := c.Overlay(path, data)
	if err != nil {
		return c, err
	}
	for _, k := range []struct {
		key  string
		same bool
		by   string
	}{
		{"network", over.Network == c.Network, "the genesis file"},
		{"moniker", over.Moniker == c.Moniker, "config.toml"},
		{"identity.key", over.Identity == c.Identity, "config.toml (node_key_file)"},
	} {
		if !k.same {
			return c, &modules.ConfigError{Where: path, Key: k.key, Reason: "remove it: " + k.by + " decides"}
		}
	}
	return over, nil
}

// complete adds what config.toml says to lists and tables that the file may have, too, and drops the default listen
// addresses that the stack of the file has no transport for.
func (y *yard) complete(c *modules.Config, base modules.Config) {
	cfg := y.config.P2P
	add := func(to *[]string, list string) {
		for _, s := range split(list) {
			if s = strings.TrimPrefix(s, "tcp://"); !slices.Contains(*to, s) {
				*to = append(*to, s)
			}
		}
	}
	if n := len(c.Peers.AllowGuests); n > 0 && c.Peers.Guests == 0 {
		c.Peers.Guests, c.Peers.DialedGuests = n, n // these alone, so no other bound is needed
	}
	add(&c.Peers.Persistent, cfg.PersistentPeers)
	add(&c.Peers.Unconditional, cfg.UnconditionalPeerIDs)
	add(&c.Peers.Private, cfg.PrivatePeerIDs)
	if cfg.PexReactor {
		add(&c.Peers.Bootstrap, cfg.Seeds)
	}
	stack := c.Fit(y.Plugins...).Stack
	if slices.Contains(stack.Wires, "comet") {
		t := modules.Table{"send_rate": cfg.SendRate, "receive_rate": cfg.RecvRate,
			"max_packet_payload": int64(cfg.MaxPacketMsgPayloadSize)}
		for key, v := range c.Wires["comet"] {
			t[key] = v
		}
		if c.Wires == nil {
			c.Wires = map[string]modules.Table{}
		}
		c.Wires["comet"] = t
	}
	for _, l := range []struct{ list, like *[]string }{
		{&c.Listen.Addresses, &base.Listen.Addresses}, {&c.Listen.External, &base.Listen.External},
	} {
		if slices.Equal(*l.list, *l.like) {
			*l.list = slices.DeleteFunc(slices.Clone(*l.list), func(a string) bool {
				return !slices.Contains(stack.Transports, transportOfAddress(a))
			})
		}
	}
}

func transportOfAddress(a string) string {
	if strings.HasSuffix(a, "/quic-v1") {
		return "quic"
	}
	return "tcp"
}

// bothTransports returns the multiaddrs of host:port over TCP and over QUIC.
func bothTransports(address string) ([]string, error) {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		address = rest
	}
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	kind := "dns"
	if ip := net.ParseIP(name); name == "" || ip != nil {
		kind = "ip4"
		switch {
		case name == "":
			name = "0.0.0.0"
		case ip.To4() == nil:
			kind = "ip6"
		}
	}
	at := "/" + kind + "/" + name
	return []string{at + "/tcp/" + port, at + "/udp/" + port + "/quic-v1"}, nil
}

// shortName cuts a moniker for the log and the API, which take 50 bytes. Peers see all of it.
func shortName(moniker string) string {
	return strings.TrimSpace(moniker[:min(len(moniker), 50)])
}

// tune changes what modules.Config has no key for.
func (y *yard) tune() func(*host.Config) {
	return func(c *host.Config) {
		c.Peers.MaxTrustedBackoff = y.config.P2P.PersistentPeersMaxDialPeriod
		c.Limits.DialTimeout = y.config.P2P.DialTimeout
		c.Info = func(i *handshake.NodeInfo) {
			v := y.info.ProtocolVersion
			i.P2PVersion, i.BlockVersion, i.AppVersion = v.P2P, v.Block, v.App
			i.Moniker, i.Version = y.info.Moniker, y.info.Version
			i.TxIndex, i.RPCAddress = y.info.Other.TxIndex, y.info.Other.RPCAddress
		}
	}
}

// identity replaces the key of the file by the one that the program gave, if it did.
func (y *yard) identity() fx.Option {
	return fx.Decorate(func(id handshake.Identity) (handshake.Identity, error) {
		if y.NodeKey != nil {
			secret, ok := y.NodeKey.PrivKey.(interface{ Bytes() []byte })
			if !ok || len(secret.Bytes()) != ed25519.PrivateKeySize {
				return nil, fmt.Errorf("the node key is a %T, not an ed25519 key", y.NodeKey.PrivKey)
			}
			id = handshake.NewIdentity([handshake.SeedSize]byte(secret.Bytes()[:handshake.SeedSize]))
		}
		key, err := id.PublicKey(context.Background())
		if err != nil {
			return nil, err
		}
		if key.NodeID() != y.self() {
			return nil, fmt.Errorf("the key in %s is that of node %s, but the node is %s: set Options.NodeKey",
				y.config.NodeKeyFile(), key.NodeID(), y.self())
		}
		return id, nil
	})
}

// logIgnored says once which settings of [p2p] are not at their defaults and mean nothing here.
func (y *yard) logIgnored(log *slog.Logger, c *modules.Config) {
	cfg, def := y.config.P2P, config.DefaultP2PConfig()
	var list []string
	for _, s := range []struct {
		name string
		set  bool
	}{
		{"addr_book_strict (addresses are judged by who reports them)", cfg.AddrBookStrict != def.AddrBookStrict},
		{"flush_throttle_timeout (a connection flushes when it has nothing more to send)",
			cfg.FlushThrottleTimeout != def.FlushThrottleTimeout},
		{"test_fuzz", cfg.TestFuzz},
		{"test_dial_fail", cfg.TestDialFail},
		{"seeds (pex is off)", !cfg.PexReactor && cfg.Seeds != ""},
		{"seed_mode (pex is off)", !cfg.PexReactor && cfg.SeedMode},
	} {
		if s.set {
			list = append(list, s.name)
		}
	}
	if len(list) > 0 {
		log.Info("settings of [p2p] that Switchyard ignores", slog.Any("ignored", list))
	}
}
