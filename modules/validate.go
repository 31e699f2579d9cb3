package modules

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Bounds of configured values.
const (
	maxName      = 50 // bytes of network and moniker; CometBFT's longest chain id (types/genesis.go)
	maxList      = 10_000
	maxKnown     = 10_000_000
	maxLinks     = 100_000
	spareFiles   = 32 // file descriptors for the store, the admin API and the like
	minDeadline  = 100 * time.Millisecond
	minInterval  = time.Second
	maxInterval  = 30 * 24 * time.Hour
	maxAnchors   = 100
	maxObservers = 100
	maxDeadline  = 10 * time.Minute
)

// Validate refuses what cannot work: addresses and names that do not parse, limits that contradict each other or the
// machine, and plug-ins that the catalogue lacks. Errors are *ConfigError and name the key.
func (c Config) Validate(plugins ...Plugin) error { return c.validate(ThisMachine(), plugins) }

func (c *Config) validate(m Machine, plugins []Plugin) error {
	fitted := c.Fit(plugins...)
	c = &fitted
	checks := []func() error{
		func() error { return c.checkName("network", c.Network) },
		func() error { return c.checkName("moniker", c.Moniker) },
		func() error { return c.checkIdentity(plugins) },
		func() error { return c.checkMultiaddrs("listen.addresses", c.Listen.Addresses) },
		func() error { return c.checkMultiaddrs("listen.external", c.Listen.External) },
		func() error { return c.checkStack(plugins) },
		func() error { return c.checkUses(plugins) },
		func() error { return c.checkPeers() },
		func() error { return c.checkLimits(m) },
		func() error { return c.checkAdmin() },
		func() error { return c.checkLog() },
		func() error { return c.checkPlugins(plugins) },
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkName(key, name string) error {
	switch {
	case name == "":
		return c.errorAt(key, "empty; give it a name")
	case len(name) > maxName:
		return c.errorAt(key, "%d bytes long; at most %d are allowed", len(name), maxName)
	}
	for _, b := range []byte(name) {
		if b < 0x20 || b > 0x7e {
			return c.errorAt(key, "%q has characters other than printable ASCII", name)
		}
	}
	if name[0] == ' ' || name[len(name)-1] == ' ' {
		return c.errorAt(key, "%q begins or ends with a space", name)
	}
	return nil
}

func (c *Config) checkMultiaddrs(key string, list []string) error {
	return c.each(key, list, func(s string) error {
		_, err := transport.ParseListen(s)
		return err
	})
}

// each checks the entries of a list: their number, duplicates, and check for each.
func (c *Config) each(key string, list []string, check func(string) error) error {
	if len(list) > maxList {
		return c.errorAt(key, "%d entries; at most %d are allowed", len(list), maxList)
	}
	seen := make(map[string]bool, len(list))
	for i, s := range list {
		at := join(key, strconv.Itoa(i))
		if seen[s] {
			return c.entryError(key, at, "%.120q is there twice", s)
		}
		seen[s] = true
		if strings.ContainsAny(s, ", \t\r\n\"'") {
			return c.entryError(key, at, "%.120q: an entry has no blanks, commas or quotes; write [\"a\", \"b\"]", s)
		}
		if err := check(s); err != nil {
			return c.entryError(key, at, "%.120q: %s", s, oneLine(why(err)))
		}
	}
	return nil
}

// why returns the reason of an error without the value that the message repeats.
func why(err error) string {
	var address *transport.AddressError
	var id *transport.NodeIDError
	switch {
	case errors.As(err, &address):
		return fmt.Sprintf("%s: want %s", address.Part, address.Want)
	case errors.As(err, &id):
		return id.Why
	}
	return err.Error()
}

// entryError names the list, and the line of its entry.
func (c *Config) entryError(key, entry, format string, args ...any) error {
	e := c.errorAt(entry, format, args...)
	e.Key = key
	return e
}

func (c *Config) checkStack(plugins []Plugin) error {
	for _, s := range []struct {
		key   string
		kind  kind
		names []string
		empty string // why it must not be empty
	}{
		{"stack.transports", kindTransport, c.Stack.Transports, "a node needs a transport"},
		{"stack.wires", kindWire, c.Stack.Wires, "a node needs a wire"},
		{"stack.security", kindSecurity, c.Stack.Security, ""},
		{"stack.muxers", kindMuxer, c.Stack.Muxers, ""},
	} {
		known := namesOf(plugins, s.kind)
		if len(s.names) == 0 && s.empty != "" {
			return c.errorAt(s.key, "empty; %s%s", s.empty, didYouMean("", known))
		}
		err := c.each(s.key, s.names, func(name string) error { return missing(s.kind, name, known) })
		if err != nil {
			return err
		}
	}
	return nil
}

// missing returns an error if the catalogue lacks a plug-in.
func missing(k kind, name string, known []string) error {
	if slices.Contains(known, name) {
		return nil
	}
	if len(known) == 0 {
		return fmt.Errorf("this build has no %s plug-in of that name (known: none)", k)
	}
	return fmt.Errorf("this build has no such %s%s", k, didYouMean(name, known))
}

func (c *Config) checkPeers() error {
	for _, l := range []struct {
		key  string
		list []string
	}{{"peers.persistent", c.Peers.Persistent}, {"peers.bootstrap", c.Peers.Bootstrap}} {
		err := c.each(l.key, l.list, func(s string) error {
			a, err := transport.ParseAddress(s)
			if err == nil && a.ID() == "" {
				err = fmt.Errorf("names no node id; want id@host:port or /ip4/1.2.3.4/tcp/26656/mconn/<id>")
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, l := range []struct {
		key  string
		list []string
	}{{"peers.unconditional", c.Peers.Unconditional}, {"peers.private", c.Peers.Private},
		{"peers.allow_guests", c.Peers.AllowGuests}} {
		if err := c.each(l.key, l.list,
			func(s string) error { _, err := transport.ParseNodeID(s); return err }); err != nil {
			return err
		}
	}
	if err := c.each("peers.allow_networks", c.Peers.AllowNetworks,
		func(s string) error { _, err := peerstore.ParseTarget(s); return err }); err != nil {
		return err
	}
	err := c.each("peers.shared_networks", c.Peers.SharedNetworks, func(s string) error {
		t, err := peerstore.ParseTarget(s)
		if err == nil && t.ID != "" {
			err = errors.New("is a node id; want an IP or a network")
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range []struct {
		key           string
		value, lo, hi int
	}{
		{"peers.guests", c.Peers.Guests, 0, maxLinks},
		{"peers.dialed_guests", c.Peers.DialedGuests, 0, maxLinks},
		{"peers.max_outbound", c.Peers.MaxOutbound, 0, maxLinks},
		{"peers.max_inbound", c.Peers.MaxInbound, 0, maxLinks},
		{"peers.max_known", c.Peers.MaxKnown, 1, maxKnown},
		{"peers.outbound_per_group", c.Peers.OutboundPerGroup, 0, maxLinks},
		{"peers.anchors", c.Peers.Anchors, 0, maxAnchors},
		{"listen.observers", c.Listen.Observers, 0, maxObservers},
	} {
		if n.value < n.lo || n.value > n.hi {
			return c.errorAt(n.key, "%d is not in %d to %d", n.value, n.lo, n.hi)
		}
	}
	for _, d := range []struct {
		key   string
		value Duration
	}{{"peers.feeler_interval", c.Peers.FeelerInterval}, {"peers.churn_interval", c.Peers.ChurnInterval}} {
		if v := time.Duration(d.value); v != 0 && (v < minInterval || v > maxInterval) {
			return c.errorAt(d.key, "%v is neither 0s (never) nor in %v to %v", v, minInterval, maxInterval)
		}
	}
	if c.Peers.MaxKnown < c.Peers.MaxOutbound {
		return c.errorAt("peers.max_known",
			"%d is less than peers.max_outbound (%d): the node could never fill its slots", c.Peers.MaxKnown,
			c.Peers.MaxOutbound)
	}
	return nil
}

func (c *Config) checkLimits(m Machine) error {
	l := c.Limits
	for _, n := range []struct {
		key       string
		value, hi int64
	}{
		{"limits.handshakes", int64(l.Handshakes), maxLinks},
		{"limits.handshakes_per_ip", int64(l.HandshakesPerIP), maxLinks},
		{"limits.attempts_per_ip", int64(l.AttemptsPerIP), 1_000_000},
		{"limits.connections_per_ip", int64(l.ConnectionsPerIP), maxLinks},
		{"limits.connections_per_group", int64(l.ConnectionsPerGroup), maxLinks},
		{"limits.message_memory", l.MessageMemory, 1 << 50},
		{"limits.peer_streams", int64(l.PeerStreams), 1_000_000},
		{"limits.protocol_streams", int64(l.ProtocolStreams), 1_000_000},
	} {
		if n.value < 0 || n.value > n.hi {
			return c.errorAt(n.key, "%d is not in 0 (the default) to %d", n.value, n.hi)
		}
	}
	if l.MessageMemory != 0 && l.MessageMemory < 1<<20 {
		return c.errorAt("limits.message_memory",
			"%d bytes are too few to work with; want at least %d, or 0 for the default", l.MessageMemory, 1<<20)
	}
	if m.Memory > 0 && l.MessageMemory > m.Memory {
		return c.errorAt("limits.message_memory",
			"%d bytes are more than this process may use (%d)", l.MessageMemory, m.Memory)
	}
	if d := time.Duration(l.HandshakeTimeout); d != 0 && (d < minDeadline || d > maxDeadline) {
		return c.errorAt("limits.handshake_timeout", "%v is not in %v to %v", d, minDeadline, maxDeadline)
	}
	d := l.Derive(m)
	if d.HandshakesPerIP > d.Handshakes {
		return c.errorAt("limits.handshakes_per_ip",
			"%d is more than limits.handshakes (%d), so it could never be reached", d.HandshakesPerIP, d.Handshakes)
	}
	if d.ProtocolStreams > d.PeerStreams {
		return c.errorAt("limits.protocol_streams",
			"%d is more than limits.peer_streams (%d), so it could never be reached", d.ProtocolStreams, d.PeerStreams)
	}
	need := c.Peers.MaxInbound + c.Peers.MaxOutbound + c.Peers.Guests + d.Handshakes + spareFiles
	if m.Files > 0 && need > m.Files {
		return c.errorAt("peers.max_inbound",
			"%s, %d outbound, %d guests and %d in handshakes need %d file descriptors, and this process may open %d "+
				"(lower them or raise ulimit -n)",
			plural(c.Peers.MaxInbound, "inbound link"),
			c.Peers.MaxOutbound, c.Peers.Guests, d.Handshakes, need, m.Files)
	}
	return nil
}

func (c *Config) checkAdmin() error {
	if c.Admin.Address == "" {
		return nil
	}
	network, where, err := admin.ParseAddress(c.Admin.Address)
	if err != nil {
		return c.errorAt("admin.address", "%.120q: %v (\"\" turns the API off)", c.Admin.Address, err)
	}
	if strings.HasPrefix(where, ":") && where != ":0" && network == "tcp" {
		return c.errorAt("admin.address", "%q would listen everywhere; write 0.0.0.0%s if you mean that",
			c.Admin.Address, c.Admin.Address)
	}
	remote := network == "tcp" && admin.Remote(where)
	a := &c.Admin
	switch {
	case remote && !a.InsecureRemote:
		return c.errorAt("admin.address", "other machines reach %q, without encryption; set admin.insecure_remote = "+
			"true if you mean that, or listen on 127.0.0.1 or unix:///path", a.Address)
	case !slices.Contains([]string{"writes", "all", "none"}, a.Protect):
		return c.errorAt("admin.protect", "%.40q: want writes, all or none", a.Protect)
	case a.InsecureRemote && a.Protect == "none":
		return c.errorAt("admin.protect", "an API that other machines reach does not do without the token")
	case a.SocketMode != "0600" && a.SocketMode != "0660":
		return c.errorAt("admin.socket_mode", "%.40q: want 0600, or 0660 for a group", a.SocketMode)
	case a.Group != "" && a.SocketMode != "0660":
		return c.errorAt("admin.group", "a group needs admin.socket_mode = \"0660\"")
	case a.Group != "" && network != "unix":
		return c.errorAt("admin.group", "only a socket has a group: set admin.address = \"unix:///path\"")
	}
	return nil
}

// LogLevels and LogFormats are the values of log.level and log.format.
func LogLevels() []string  { return []string{"debug", "info", "warn", "error"} }
func LogFormats() []string { return []string{"text", "json"} }

func (c *Config) checkLog() error {
	if !slices.Contains(LogLevels(), c.Log.Level) {
		return c.errorAt("log.level", "%.40q: want %s", c.Log.Level, strings.Join(LogLevels(), ", "))
	}
	if !slices.Contains(LogFormats(), c.Log.Format) {
		return c.errorAt("log.format", "%.40q: want %s", c.Log.Format, strings.Join(LogFormats(), " or "))
	}
	return nil
}

// checkPlugins decodes every plug-in's own keys, to refuse wrong ones before anything is built.
func (c *Config) checkPlugins(plugins []Plugin) error {
	if len(c.Discovery) > maxList {
		return c.errorAt("discovery", "%d tables; at most %d are allowed", len(c.Discovery), maxList)
	}
	for i, t := range c.Discovery {
		at := join("discovery", strconv.Itoa(i))
		p, err := c.source(plugins, i)
		if err != nil {
			return err
		}
		if err := p.check(c, at, t); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(c.Services) {
		at := join("services", name)
		p, ok := find(plugins, kindService, name)
		if !ok && c.Services[name]["enabled"] == false { // a disabled service needs no plug-in
			continue
		}
		if !ok {
			return c.errorAt(at, "this build has no service of that name%s",
				didYouMean(name, namesOf(plugins, kindService)))
		}
		if _, err := c.Services[name].enabled(c, at, p.on); err != nil {
			return err
		}
		if err := p.check(c, at, c.Services[name]); err != nil {
			return err
		}
	}
	for _, s := range []struct {
		key    string
		kind   kind
		tables map[string]Table
	}{{"transports", kindTransport, c.Transports}, {"wires", kindWire, c.Wires},
		{"security", kindSecurity, c.Security}, {"muxers", kindMuxer, c.Muxers}} {
		for _, name := range sortedKeys(s.tables) {
			at := join(s.key, name)
			p, ok := find(plugins, s.kind, name)
			if !ok {
				return c.errorAt(at, "this build has no such %s%s", s.kind, didYouMean(name, namesOf(plugins, s.kind)))
			}
			if err := p.check(c, at, s.tables[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// source returns the plug-in of the i-th [[discovery]] table.
func (c *Config) source(plugins []Plugin, i int) (Plugin, error) {
	at := join("discovery", strconv.Itoa(i))
	use, err := c.Discovery[i].text(c, at, "use")
	if err != nil {
		return Plugin{}, err
	}
	known := namesOf(plugins, kindDiscovery)
	if use == "" {
		return Plugin{}, c.errorAt(join(at, "use"), "missing; name the source%s", didYouMean("", known))
	}
	p, ok := find(plugins, kindDiscovery, use)
	if !ok {
		return Plugin{}, c.errorAt(join(at, "use"), "%.60q: this build has no such source%s", use,
			didYouMean(use, known))
	}
	return p, nil
}
