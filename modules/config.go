// Package modules assembles a node from plug-ins, with uber fx. Only this package and those below it know the
// framework: all that they connect has plain constructors and a Run(ctx) error, and works without it.
//
//	cfg, err := modules.Load("node/config.toml", nil, plugins...)
//	...
//	err = modules.Run(ctx, modules.Node(cfg, plugins...))
//
// Package standard lists the stock plug-ins, package cli has the whole command line. Each feature's module is in a file
// of its own and can be used alone: Transports, Handshake, Store, Host, Sources, Services and Admin.
package modules

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"
)

// Config is the content of config.toml. Default has the defaults. It is a plain value; Clone copies it whole.
// docs/configuration.md describes the keys.
type Config struct {
	// Home is the node's folder; relative paths start there. "" means the working directory. Load sets it, Run makes
	// the folder. It is not part of the file.
	Home string `toml:"-"`
	// Version is the software version in the node info; "" means "switchyard". It is not part of the file.
	Version string `toml:"-"`

	Network  string         `toml:"network"` // a node of another network is refused
	Moniker  string         `toml:"moniker"` // the name that peers see
	Identity IdentityConfig `toml:"identity"`
	Listen   ListenConfig   `toml:"listen"`
	Stack    StackConfig    `toml:"stack"`
	Peers    PeersConfig    `toml:"peers"`
	Limits   LimitsConfig   `toml:"limits"`
	// Discovery lists the peer sources: each entry names its plug-in in "use" and has the plug-in's own keys.
	Discovery []Table `toml:"discovery"`
	// Services are the services by name: "enabled" turns the service on, the other keys are its own.
	Services map[string]Table `toml:"services"`
	Store    StoreConfig      `toml:"store"`
	Admin    AdminConfig      `toml:"admin"`
	Log      LogConfig        `toml:"log"`
	// Transports, Wires, Security and Muxers are the own keys of the plug-ins that [stack] chooses, by name.
	Transports map[string]Table `toml:"transports"`
	Wires      map[string]Table `toml:"wires"`
	Security   map[string]Table `toml:"security"`
	Muxers     map[string]Table `toml:"muxers"`

	// where is the place of each given key ("/home/me/config.toml:12", "--set" or "$SWITCHYARD_NETWORK"), for errors
	// and for Effective. It never changes after loading.
	where map[string]string
}

// Table has the own keys of a plug-in, as TOML gives them. The plug-in's Config type decides which keys exist.
type Table map[string]any

// IdentityConfig locates the node's key.
type IdentityConfig struct {
	// file in the form of CometBFT's node_key.json; the first start makes it
	Key string `toml:"key"`
	// address of a process that holds the key instead: unix:///path/of/socket or tls://host:port
	Signer string `toml:"signer"`
	// PEM files for a signer over TLS: its authority, our certificate, that certificate's key
	SignerCA   string `toml:"signer_ca"`
	SignerCert string `toml:"signer_cert"`
	SignerKey  string `toml:"signer_key"`
}

// ListenConfig is where the node listens and what it advertises.
type ListenConfig struct {
	Addresses []string `toml:"addresses"` // multiaddrs; empty only dials
	External  []string `toml:"external"`  // what to advertise instead
	// network groups that must agree on where they see us before that is advertised, too; 0 means never
	Observers int `toml:"observers"`
}

// StackConfig names plug-ins, in order of preference. Config.Fit drops defaults that do not fit.
type StackConfig struct {
	Transports []string `toml:"transports"`
	Wires      []string `toml:"wires"`
	Security   []string `toml:"security"`
	Muxers     []string `toml:"muxers"`
}

// PeersConfig has the peers to connect to, and how many.
type PeersConfig struct {
	Persistent    []string `toml:"persistent"`    // addresses with their node id: trusted, always redialed
	Unconditional []string `toml:"unconditional"` // node ids that no limit refuses
	Private       []string `toml:"private"`       // node ids that are never advertised
	// ids, IP addresses and networks, the only ones that are dialed and accepted; empty allows all
	AllowNetworks []string `toml:"allow_networks"`
	Guests        int      `toml:"guests"`        // links to plain libp2p peers; 0 refuses them
	DialedGuests  int      `toml:"dialed_guests"` // the same, of those that an operator or a program dials
	AllowGuests   []string `toml:"allow_guests"`  // node ids of the only guests that are linked; empty allows any
	Bootstrap     []string `toml:"bootstrap"`     // addresses with their node id, to try first
	MaxOutbound   int      `toml:"max_outbound"`  // outbound links, persistent peers apart; 0 means none
	// inbound links, persistent and unconditional peers apart; 0 means none
	MaxInbound int `toml:"max_inbound"`
	MaxKnown   int `toml:"max_known"` // peers in the store

	// IPs and networks that many share (NAT, proxies): a peer's misdeeds count against its key alone
	SharedNetworks []string `toml:"shared_networks"`

	// links to other Switchyard nodes move from comet to QUIC when both can
	PreferQUIC bool `toml:"prefer_quic"`
	// outbound links in one network group while other groups have peers to dial; 0 means any number
	OutboundPerGroup int `toml:"outbound_per_group"`
	// the longest-lived outbound peers, to dial first after a restart; 0 means none
	Anchors int `toml:"anchors"`
	// interval of test dials while all outbound slots are full; 0 means never
	FeelerInterval Duration `toml:"feeler_interval"`
	// interval at which an unprotected outbound peer is replaced while all slots are full; 0 means never
	ChurnInterval Duration `toml:"churn_interval"`
	// file of CIDRs and their autonomous systems, to use as network groups; "" means none
	ASMap string `toml:"as_map"`
}

// LimitsConfig bounds what remotes may cost. 0 means the default, which depends on the machine: see Derive.
type LimitsConfig struct {
	Handshakes          int      `toml:"handshakes"`            // in flight at once, all peers
	HandshakesPerIP     int      `toml:"handshakes_per_ip"`     // in flight at once, one IP
	AttemptsPerIP       int      `toml:"attempts_per_ip"`       // new connections per 10 s from one IP
	ConnectionsPerIP    int      `toml:"connections_per_ip"`    // links at once from one IP
	ConnectionsPerGroup int      `toml:"connections_per_group"` // links at once from one network group
	HandshakeTimeout    Duration `toml:"handshake_timeout"`     // all stages together
	MessageMemory       int64    `toml:"message_memory"`        // bytes of messages held for all peers
	// streams that one peer may have open with our services at once
	PeerStreams     int `toml:"peer_streams"`
	ProtocolStreams int `toml:"protocol_streams"` // of them, with one protocol
}

// StoreConfig is where the peer store is.
type StoreConfig struct {
	Path string `toml:"path"` // folder; "" keeps peers in memory only
}

// AdminConfig is where the admin API listens.
type AdminConfig struct {
	Address string `toml:"address"` // host:port or unix:///path; "" turns it off
	Pprof   bool   `toml:"pprof"`   // serve profiles below /debug/pprof/ too
	// which requests need the token in admin.token, below the home: "writes" (all but GET), "all" (also GET of metrics
	// and profiles) or "none"
	Protect        string `toml:"protect"`
	SocketMode     string `toml:"socket_mode"`     // of a unix socket: "0600", or "0660" for a group
	Group          string `toml:"group"`           // of a unix socket with mode 0660; "" means that of the process
	InsecureRemote bool   `toml:"insecure_remote"` // listen where other machines reach it, without encryption
	// TokenFile has the token, in place of a new one at each start; "" means a new one.
	TokenFile string `toml:"token_file"`
}

// LogConfig is what the command line logs of a node. A program that supplies its own *slog.Logger ignores it.
type LogConfig struct {
	Level  string `toml:"level"`  // debug, info, warn or error
	Format string `toml:"format"` // text or json
}

// Default returns the default configuration.
func Default() Config {
	return Config{
		Network:  "switchyard",
		Moniker:  "switchyard",
		Identity: IdentityConfig{Key: "node_key.json"},
		Listen: ListenConfig{Addresses: []string{"/ip4/0.0.0.0/tcp/26656", "/ip4/0.0.0.0/udp/26656/quic-v1"},
			External: []string{}, Observers: 3},
		Stack: StackConfig{Transports: []string{"tcp", "quic"}, Wires: []string{"comet", "libp2p"},
			Security: []string{"noise", "tls"}, Muxers: []string{"yamux"}},
		Peers: PeersConfig{Persistent: []string{}, Unconditional: []string{}, Private: []string{},
			AllowNetworks: []string{}, AllowGuests: []string{}, Bootstrap: []string{}, SharedNetworks: []string{},
			PreferQUIC: true, Guests: 16, DialedGuests: 64, MaxOutbound: 8, MaxInbound: 40, MaxKnown: 100_000,
			OutboundPerGroup: 1, Anchors: 2, FeelerInterval: Duration(2 * time.Minute),
			ChurnInterval: Duration(time.Hour)},
		Limits:    LimitsConfig{HandshakeTimeout: Duration(5 * time.Second)},
		Discovery: []Table{{"use": "pex"}},
		Services:  map[string]Table{},
		Store:     StoreConfig{Path: "data/peers"},
		Admin:     AdminConfig{Address: "127.0.0.1:26670", Protect: "writes", SocketMode: "0600"},
		Log:       LogConfig{Level: "info", Format: "text"},
	}
}

// Clone returns a copy that shares nothing with c.
func (c Config) Clone() Config {
	for _, list := range []*[]string{&c.Listen.Addresses, &c.Listen.External, &c.Stack.Transports, &c.Stack.Wires,
		&c.Stack.Security, &c.Stack.Muxers,
		&c.Peers.Persistent, &c.Peers.Unconditional, &c.Peers.Private, &c.Peers.AllowNetworks, &c.Peers.AllowGuests,
		&c.Peers.Bootstrap, &c.Peers.SharedNetworks} {
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

// Path resolves a path of the configuration: a relative one starts at Home, credential:NAME is the file that Credential
// returns. "" stays "".
func (c Config) Path(p string) string {
	if file, err := Credential(p); err == nil {
		p = file
	}
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.Home, p)
}

// Duration is a time.Duration that TOML writes as text, such as "5s".
type Duration time.Duration

// UnmarshalText parses a duration such as "5s" or "1m30s".
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%.40q is not a duration (want something like \"5s\")", b)
	}
	*d = Duration(v)
	return nil
}

// MarshalText formats the duration for UnmarshalText.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d Duration) String() string { return time.Duration(d).String() }
