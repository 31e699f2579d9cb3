package modules

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/switchyard-p2p/switchyard/host/admin"
)

// Render returns a configuration as a commented file, which Load reads back to the same values. The comments name the
// plug-ins. Of lists of plug-ins that are those of Default it writes what the catalogue has.
func Render(c Config, plugins ...Plugin) []byte { return render(c, plugins).buf.Bytes() }

func render(c Config, plugins []Plugin) *renderer {
	w := &renderer{comments: map[string]string{}}
	w.line("# Switchyard: the configuration of a node. " +
		"Every key is optional; docs/configuration.md describes all of them.")
	w.line("# A key behind a # shows its default. `start --set KEY=VALUE` sets any key for one run.")
	w.line("")
	w.key("network", c.Network, "a node of another network is refused")
	w.key("moniker", c.Moniker, "the name that peers see")

	w.table("identity", "Who the node is. The file has the form of CometBFT's node_key.json, so an existing node's "+
		"key can be used. Keep it secret.")
	w.key("key", c.Identity.Key, "relative to this file's folder")
	w.about("identity.signer", "the address of a process that holds the key instead: unix:///path or tls://host:port")
	w.about("identity.signer_ca", "of a signer over TLS: the authority of its certificate, a PEM file")
	w.about("identity.signer_cert", "of a signer over TLS: our certificate, a PEM file")
	w.about("identity.signer_key", "of a signer over TLS: the key of our certificate, a PEM file")
	w.about("discovery", "the sources of peers, a table each; without any, pex runs")
	if c.Identity.Signer != "" {
		w.key("signer", c.Identity.Signer, "a process that holds the key instead: docs/signer.md")
	}
	for _, file := range []struct{ key, value, comment string }{
		{"signer_ca", c.Identity.SignerCA, "the authority of the signer's certificate"},
		{"signer_cert", c.Identity.SignerCert, "our certificate"},
		{"signer_key", c.Identity.SignerKey, "and its key"},
	} {
		if file.value != "" {
			w.key(file.key, file.value, file.comment)
		}
	}

	w.table("listen", "")
	w.key("addresses", c.Listen.Addresses, "where to listen; [] only dials")
	w.key("external", c.Listen.External, "what to advertise instead, where the listen address is not reachable")
	w.key("observers", c.Listen.Observers,
		"network groups that must agree on where they see us before that is advertised, too; 0 means never")

	def := Default().Stack
	for _, l := range []struct {
		list *[]string
		like []string
		kind kind
	}{{&c.Stack.Transports, def.Transports, kindTransport}, {&c.Stack.Wires, def.Wires, kindWire},
		{&c.Stack.Security, def.Security, kindSecurity}, {&c.Stack.Muxers, def.Muxers, kindMuxer}} {
		if slices.Equal(*l.list, l.like) {
			*l.list = withoutAbsent(plugins, l.kind, *l.list)
		}
	}
	var has []string
	for _, k := range []kind{kindTransport, kindWire, kindSecurity, kindMuxer} {
		if names := namesOf(plugins, k); len(names) > 0 {
			has = append(has, string(k)+" "+strings.Join(names, ", "))
		}
	}
	w.table("stack", "Names of plug-ins, in order of preference. This build has: "+strings.Join(has, "; ")+".")
	w.key("transports", c.Stack.Transports, "")
	w.key("wires", c.Stack.Wires, "")
	w.key("security", c.Stack.Security, "of libp2p over TCP; comet and QUIC have their own")
	w.key("muxers", c.Stack.Muxers, "of libp2p over TCP; comet and QUIC have their own")

	w.table("peers", "Addresses are id@host:port or multiaddrs: /ip4/1.2.3.4/tcp/26656/mconn/<id>, "+
		".../tcp/26656/p2p/<peer id>, .../udp/26656/quic-v1/p2p/<peer id>.")
	w.key("persistent", c.Peers.Persistent, "trusted: always redialed")
	w.key("unconditional", c.Peers.Unconditional, "node ids that no limit refuses")
	w.key("private", c.Peers.Private, "node ids that are never advertised")
	w.key("allow_networks", c.Peers.AllowNetworks,
		"if not empty, only these node ids, IP addresses and networks are dialed and accepted")
	w.key("guests", c.Peers.Guests, "links to plain libp2p peers, which name no network; 0 refuses them")
	w.key("dialed_guests", c.Peers.DialedGuests, "the same, of those that an operator or a program dials")
	w.key("allow_guests", c.Peers.AllowGuests, "if not empty, node ids of the only guests that are linked")
	w.key("bootstrap", c.Peers.Bootstrap, "first addresses to try")
	w.key("max_outbound", c.Peers.MaxOutbound, "links that we dial; 0 means none")
	w.key("max_inbound", c.Peers.MaxInbound, "links that dial us; 0 means none")
	w.key("max_known", c.Peers.MaxKnown, "peers that the store keeps")
	w.key("shared_networks", c.Peers.SharedNetworks,
		"IPs and networks that many share (NAT, proxies): misdeeds count against the key alone")
	w.key("prefer_quic", c.Peers.PreferQUIC, "links to other Switchyard nodes move from comet to QUIC when both can")
	w.key("outbound_per_group", c.Peers.OutboundPerGroup,
		"links that we dial in one network group while there is a choice; 0 means any number")
	w.key("anchors", c.Peers.Anchors,
		"the longest-lived peers that we dialed, to dial first after a restart; 0 means none")
	w.key("feeler_interval", c.Peers.FeelerInterval.String(),
		"about how often an address is tested while all outbound slots are full; 0s means never")
	w.key("churn_interval", c.Peers.ChurnInterval.String(),
		"about how often an unprotected outbound peer is exchanged while all slots are full; 0s means never")
	w.key("as_map", c.Peers.ASMap, "file of CIDRs and their autonomous systems, which then are the network groups")

	w.table("limits", "0 means the default, which follows memory and file descriptors; every refusal names its key.")
	w.key("handshakes", c.Limits.Handshakes, "in flight at once, all peers")
	w.key("handshakes_per_ip", c.Limits.HandshakesPerIP, "in flight at once, one IP (an IPv6 /64 counts as one)")
	w.key("attempts_per_ip", c.Limits.AttemptsPerIP, "new connections per 10 s from one IP")
	w.key("connections_per_ip", c.Limits.ConnectionsPerIP, "links at once from one IP, loopback exempt")
	w.key("connections_per_group", c.Limits.ConnectionsPerGroup,
		"links at once from one network group, loopback exempt")
	w.key("handshake_timeout", c.Limits.HandshakeTimeout.String(), "all stages together")
	w.key("message_memory", c.Limits.MessageMemory, "bytes of messages held for all peers")
	w.key("peer_streams", c.Limits.PeerStreams, "streams that one libp2p peer may have open with our services at once")
	w.key("protocol_streams", c.Limits.ProtocolStreams, "of them, with one protocol")

	w.line("")
	w.line("# Sources of peers, one table each. This build has: " +
		strings.Join(namesOf(plugins, kindDiscovery), ", ") + ".")
	if len(c.Discovery) == 0 {
		w.atTop("discovery", []Table{})
	}
	for _, t := range c.Discovery {
		w.line("[[discovery]]")
		w.key("use", t["use"], "")
		w.own(t, "use")
		if use, ok := t["use"].(string); ok {
			p, _ := find(plugins, kindDiscovery, use)
			w.unset(p, t)
		}
	}

	for _, p := range plugins {
		if p.kind != kindService {
			continue
		}
		t := c.Services[p.name]
		if p.absent {
			if t != nil {
				w.table("services."+tomlKey(p.name), "This build has no such service.")
				w.own(t, "")
			}
			continue
		}
		on, _ := t.enabled(&c, "", p.on)
		w.table("services."+tomlKey(p.name), "")
		w.key("enabled", on, "")
		w.own(t, "enabled")
		w.unset(p, t)
	}

	w.table("store", "")
	w.key("path", c.Store.Path, `folder of the known peers; "" keeps them in memory only`)

	w.table("admin", "The admin API, for the commands that ask the running node. Its token is in "+admin.TokenName+
		", new at each start.")
	w.key("address", c.Admin.Address, `host:port, or unix:///path of a socket; "" turns it off`)
	w.key("pprof", c.Admin.Pprof, "serve profiles below /debug/pprof/ too")
	w.key("protect", c.Admin.Protect, "what needs the token: writes, all (also metrics and profiles) or none")
	w.key("socket_mode", c.Admin.SocketMode, "of a unix socket, which needs no token: 0600, or 0660 for a group")
	w.key("group", c.Admin.Group, `of a unix socket of mode 0660; "" means that of the process`)
	w.key("insecure_remote", c.Admin.InsecureRemote, "listen where other machines reach it, without encryption")
	w.key("token_file", c.Admin.TokenFile, `a file with the token; "" makes a new one at each start`)

	w.table("log", "What start logs, to standard output.")
	w.key("level", c.Log.Level, "debug, info, warn or error")
	w.key("format", c.Log.Format, "text (in colour on a terminal) or json")

	for _, s := range []struct {
		section string
		tables  map[string]Table
	}{{"transports", c.Transports}, {"wires", c.Wires}, {"security", c.Security}, {"muxers", c.Muxers}} {
		for _, name := range sortedKeys(s.tables) {
			w.table(s.section+"."+tomlKey(name), "")
			w.own(s.tables[name], "")
		}
	}
	return w
}

type renderer struct {
	buf     bytes.Buffer
	root    int    // where the keys of no table end
	section string // the table that is being written
	// comments are those of the keys, for Keys.
	comments map[string]string
}

// about is the comment of a key that is not always written.
func (w *renderer) about(key, comment string) { w.comments[key] = comment }

func (w *renderer) line(s string) {
	w.buf.WriteString(s)
	w.buf.WriteByte('\n')
}

func (w *renderer) table(name, comment string) {
	if w.root == 0 {
		w.root = w.buf.Len()
	}
	w.line("")
	if comment != "" {
		w.line("# " + comment)
	}
	w.line("[" + name + "]")
	w.section = name
}

// key writes one key and its value.
func (w *renderer) key(name string, value any, comment string) {
	w.comments[join(w.section, name)] = comment
	s := tomlKey(name) + " = " + tomlText(value)
	if comment != "" {
		s = fmt.Sprintf("%-28s # %s", s, comment)
	}
	w.line(s)
}

// own writes the remaining keys of a plug-in's table.
func (w *renderer) own(t Table, reserved string) {
	for _, k := range sortedKeys(t) {
		if k != reserved {
			w.key(k, t[k], "")
		}
	}
}

// unset writes the keys of a plug-in that its table lacks, as comments with their defaults.
func (w *renderer) unset(p Plugin, t Table) {
	if p.defaults == nil {
		return
	}
	v := reflect.ValueOf(p.defaults())
	if v.Kind() != reflect.Struct {
		return
	}
	for f := range fields(v.Type()) {
		if _, set := t[keyOf(f)]; set {
			continue
		}
		value := v.FieldByIndex(f.Index).Interface()
		switch f.Type.Kind() {
		case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array: // too much for a line
			continue
		}
		if d, ok := value.(time.Duration); ok {
			value = d.String()
		}
		w.line("# " + tomlKey(keyOf(f)) + " = " + tomlText(value))
	}
}

// atTop writes a key that belongs to no table, before the first table.
func (w *renderer) atTop(name string, value any) {
	rest := bytes.Clone(w.buf.Bytes()[w.root:])
	w.buf.Truncate(w.root)
	w.key(name, value, "no source of peers")
	w.buf.Write(rest)
}

// tomlText returns a value as TOML on one line.
func tomlText(v any) string {
	switch v := v.(type) {
	case string:
		return tomlString(v)
	case []string:
		parts := make([]string, len(v))
		for i, s := range v {
			parts[i] = tomlString(s)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = tomlText(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case []Table:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = tomlText(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		parts := make([]string, 0, len(v))
		for _, k := range sortedKeys(v) {
			parts = append(parts, tomlKey(k)+" = "+tomlText(v[k]))
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	case Table:
		return tomlText(map[string]any(v))
	}
	b, err := toml.Marshal(map[string]any{"v": v})
	if err != nil {
		return tomlString(fmt.Sprint(v))
	}
	return strings.TrimSpace(strings.TrimPrefix(string(b), "v = "))
}

// tomlString returns a TOML basic string.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// tomlKey returns one part of a key, quoted if necessary.
func tomlKey(k string) string {
	for _, r := range k {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-') {
			return tomlString(k)
		}
	}
	if k == "" {
		return strconv.Quote(k)
	}
	return k
}
