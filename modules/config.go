// Package modules assembles a node from plug-ins with uber fx: it is the only library package that knows the framework.
// Everything that it connects has plain constructors and a Run(ctx) error, and can be used without it.
//
//	cfg := modules.Default()
//	cfg.Home = dir
//	err := modules.Run(ctx, modules.Node(cfg, plugins...))
//
// A file a feature holds that feature's module, which can also be used alone: see Transports, Handshake, Store, Host,
// Sources, Services and Admin.
package modules

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"
)

// Config is everything that a node can be told: the content of config.toml. Default says what each key is worth when it
// is not given. It is a plain value; Clone copies it whole. Keys and their meaning are described in
// docs/configuration.md.
type Config struct {
	// Home is the node's folder, against which relative paths are read; "" means the working directory. Load sets it,
	// Run makes the folder. Not part of the file.
	Home string `toml:"-"`
	// Version is the version of the software that peers are told; "" means "switchyard". Not part of the file.
	Version string `toml:"-"`

	Network  string         `toml:"network"` // a node of another network is refused
	Moniker  string         `toml:"moniker"` // the name that peers see
	Identity IdentityConfig `toml:"identity"`
	Listen   ListenConfig   `toml:"listen"`
	Stack    StackConfig    `toml:"stack"`
	Peers    PeersConfig    `toml:"peers"`
	Limits   LimitsConfig   `toml:"limits"`
	// Discovery are the sources of peers: each entry names its plug-in in "use" and gives the plug-in's own keys.
	Discovery []Table `toml:"discovery"`
	// Services are the services by name: "enabled" says whether the service runs, the other keys are its own.
	Services map[string]Table `toml:"services"`
	Store    StoreConfig      `toml:"store"`
	Admin    AdminConfig      `toml:"admin"`
	// Transports, Wires, Security and Muxers are the own keys of the plug-ins that [stack] chooses, by name.
	Transports map[string]Table `toml:"transports"`
	Wires      map[string]Table `toml:"wires"`
	Security   map[string]Table `toml:"security"`
	Muxers     map[string]Table `toml:"muxers"`

	// where says where each key was given ("/home/me/config.toml:12" or "--set"), for errors. Never changed after
	// loading.
	where map[string]string
}

// Table holds the own keys of a plug-in, as TOML gives them. The plug-in's Config type decides which keys exist.
type Table map[string]any

// IdentityConfig says where the node's key is.
type IdentityConfig struct {
	// file in the form of CometBFT's node_key.json; made at the first start when it is missing
	Key    string `toml:"key"`
	Signer string `toml:"signer"` // address of a process that holds the key instead
}

// ListenConfig says where the node listens and what it advertises.
type ListenConfig struct {
	Addresses []string `toml:"addresses"` // multiaddrs; empty only dials
	External  []string `toml:"external"`  // what to advertise instead
}

// StackConfig names plug-ins, in order of preference. See Config.Fit for what becomes of a default that does not fit.
type StackConfig struct {
	Transports []string `toml:"transports"`
	Wires      []string `toml:"wires"`
	Security   []string `toml:"security"`
	Muxers     []string `toml:"muxers"`
}

// PeersConfig says whom to connect to, and how many.
type PeersConfig struct {
	Persistent    []string `toml:"persistent"`    // addresses with their node id: trusted, always redialed
	Unconditional []string `toml:"unconditional"` // node ids that no limit refuses
	Private       []string `toml:"private"`       // node ids that are never advertised
	Guests        int      `toml:"guests"`        // plain libp2p peers that may be linked; 0 refuses them
	Bootstrap     []string `toml:"bootstrap"`     // addresses with their node id, to try first
	MaxOutbound   int      `toml:"max_outbound"`  // links that we dial, persistent ones apart; 0 means none
	// links that dial us, persistent and unconditional ones apart; 0 means none
	MaxInbound int `toml:"max_inbound"`
	MaxKnown   int `toml:"max_known"` // peers that the store keeps

	// links that we dial in one network group while there is a choice; 0 means any number
	OutboundPerGroup int `toml:"outbound_per_group"`
	// the longest-lived peers that we dialed, to dial first after a restart; 0 means none
	Anchors int `toml:"anchors"`
	// about how often an address is tested while all outbound slots are full; 0 means never
	FeelerInterval Duration `toml:"feeler_interval"`
	// about how often an unprotected outbound peer is exchanged while all slots are full; 0 means never
	ChurnInterval Duration `toml:"churn_interval"`
	// file of CIDRs and their autonomous systems, which then are the network groups; "" means none
	ASMap string `toml:"as_map"`
}

// LimitsConfig bounds what strangers may cost. 0 means the default, which follows the machine: see Derive.
type LimitsConfig struct {
	Handshakes          int      `toml:"handshakes"`            // in flight at once, all peers
	HandshakesPerIP     int      `toml:"handshakes_per_ip"`     // in flight at once, one IP
	AttemptsPerIP       int      `toml:"attempts_per_ip"`       // new connections per 10 s from one IP
	ConnectionsPerIP    int      `toml:"connections_per_ip"`    // links at once from one IP
	ConnectionsPerGroup int      `toml:"connections_per_group"` // links at once from one network group
	HandshakeTimeout    Duration `toml:"handshake_timeout"`     // all stages together
	MessageMemory       int64    `toml:"message_memory"`        // bytes of messages held for all peers
	// streams that one peer may have open with our applications at once
	PeerStreams     int `toml:"peer_streams"`
	ProtocolStreams int `toml:"protocol_streams"` // of them, with one protocol
}

// StoreConfig says where peers are kept.
type StoreConfig struct {
	Path string `toml:"path"` // folder; "" keeps peers in memory only
}

// AdminConfig says where the admin API listens.
type AdminConfig struct {
	Address string `toml:"address"` // host:port; "" turns it off
	Pprof   bool   `toml:"pprof"`   // serve profiles below /debug/pprof/ too
}

// Default is the configuration of a node that was told nothing.
func Default() Config {
	return Config{
		Network:  "switchyard",
		Moniker:  "switchyard",
		Identity: IdentityConfig{Key: "node_key.json"},
		Listen: ListenConfig{Addresses: []string{"/ip4/0.0.0.0/tcp/26656", "/ip4/0.0.0.0/udp/26656/quic-v1"},
			External: []string{}},
		Stack: StackConfig{Transports: []string{"tcp", "quic"}, Wires: []string{"comet", "libp2p"},
			Security: []string{"noise", "tls"}, Muxers: []string{"yamux"}},
		Peers: PeersConfig{Persistent: []string{}, Unconditional: []string{}, Private: []string{},
			Bootstrap: []string{},
			Guests:    16, MaxOutbound: 8, MaxInbound: 40, MaxKnown: 100_000,
			OutboundPerGroup: 1, Anchors: 2, FeelerInterval: Duration(2 * time.Minute),
			ChurnInterval: Duration(time.Hour)},
		Limits:    LimitsConfig{HandshakeTimeout: Duration(5 * time.Second)},
		Discovery: []Table{{"use": "pex"}},
		Services:  map[string]Table{},
		Store:     StoreConfig{Path: "data/peers"},
		Admin:     AdminConfig{Address: "127.0.0.1:26660"},
	}
}

// Clone returns a copy that shares nothing with c.
func (c Config) Clone() Config {
	for _, list := range []*[]string{&c.Listen.Addresses, &c.Listen.External, &c.Stack.Transports, &c.Stack.Wires,
		&c.Stack.Security, &c.Stack.Muxers,
		&c.Peers.Persistent, &c.Peers.Unconditional, &c.Peers.Private, &c.Peers.Bootstrap} {
		*list = slices.Clone(*list)
	}
	c.Discovery = slices.Clone(c.Discovery)
	for i := range c.Discovery {
		c.Discovery[i] = maps.Clone(c.Discovery[i])
	}
	for _, tables := range []*map[string]Table{&c.Services, &c.Transports, &c.Wires, &c.Security, &c.Muxers} {
		*tables = maps.Clone(*tables)
		for name, t := range *tables {
			(*tables)[name] = maps.Clone(t)
		}
	}
	c.where = maps.Clone(c.where)
	return c
}

// Path reads a path of the configuration: a relative one is inside Home. "" stays "".
func (c Config) Path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.Home, p)
}

// Duration is a time.Duration that TOML writes as text, such as "5s".
type Duration time.Duration

// UnmarshalText reads "5s", "1m30s" and the like.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%.40q is not a duration (want something like \"5s\")", b)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d Duration) String() string { return time.Duration(d).String() }
