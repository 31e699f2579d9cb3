package cli

import (
	"slices"
	"strings"

	"github.com/switchyard-p2p/switchyard/modules"
)

// demoKind is what a node of the demo speaks.
type demoKind struct {
	name              string
	transports, wires []string
	listen            []string
	dials             func(address string) bool // which addresses of the first node it can use
}

const (
	anyTCP  = "/ip4/127.0.0.1/tcp/0"
	anyQUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
)

// demoKinds are the kinds, in the order in which nodes get them. The first node must speak everything, as all others
// find each other through it.
var demoKinds = []demoKind{
	{"all", []string{"tcp", "quic"}, []string{"comet", "libp2p"}, []string{anyTCP, anyQUIC}, func(a string) bool {
		return strings.Contains(a, "/p2p/")
	}},
	{"comet", []string{"tcp"}, []string{"comet"}, []string{anyTCP}, func(a string) bool {
		return strings.Contains(a, "/mconn/")
	}},
	{"libp2p", []string{"tcp"}, []string{"libp2p"}, []string{anyTCP}, func(a string) bool {
		return strings.Contains(a, "/tcp/") && strings.Contains(a, "/p2p/")
	}},
	{"quic", []string{"quic"}, []string{"libp2p"}, []string{anyQUIC}, func(a string) bool {
		return strings.Contains(a, "/quic-v1/")
	}},
}

// demoKinds returns the kinds that the program's plug-ins allow. The first has all of their transports and wires.
func (p *Program) demoKinds() []demoKind {
	var kinds []demoKind
	for _, k := range demoKinds {
		cfg := k.config().Fit(p.Plugins...)
		k.transports, k.wires = cfg.Stack.Transports, cfg.Stack.Wires
		k.listen = slices.DeleteFunc(slices.Clone(k.listen), func(a string) bool {
			return a == anyTCP && !slices.Contains(k.transports, "tcp") ||
				a == anyQUIC && !slices.Contains(k.transports, "quic")
		})
		if k.config().Validate(p.Plugins...) == nil {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// config returns the configuration of a node of the kind.
func (k demoKind) config() modules.Config {
	cfg := modules.Default()
	cfg.Network, cfg.Admin.Address = "demo", "127.0.0.1:0"
	cfg.Listen.Addresses, cfg.Stack.Transports, cfg.Stack.Wires = k.listen, k.transports, k.wires
	if !slices.Contains(k.wires, "libp2p") {
		cfg.Stack.Security, cfg.Stack.Muxers = nil, nil
	}
	return cfg
}

// meets reports whether two kinds have a wire and a transport in common.
func (k demoKind) meets(other demoKind) bool {
	both := func(a, b []string, name string) bool { return slices.Contains(a, name) && slices.Contains(b, name) }
	return both(k.wires, other.wires, "libp2p") &&
		(both(k.transports, other.transports, "quic") || both(k.transports, other.transports, "tcp")) ||
		both(k.wires, other.wires, "comet") && both(k.transports, other.transports, "tcp")
}

// speaks returns the kind for people.
func (k demoKind) speaks() string {
	switch k.name {
	case "libp2p":
		return "libp2p tcp"
	case "quic":
		return "QUIC"
	}
	return k.name
}
