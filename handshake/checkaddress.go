package handshake

import (
	"slices"
	"strings"

	"github.com/switchyard-p2p/switchyard/transport"
)

// CheckAddress returns why a node with these transports and wires can never dial an address; nil if it may. It is for
// addresses that somebody wrote. Its error is a *transport.AddressError.
func CheckAddress(a transport.Address, transports []transport.Transport, wires []Wire) error {
	if err := a.CheckDialable(); err != nil {
		return err
	}
	m := a.Multiaddr()
	if !slices.ContainsFunc(transports, func(t transport.Transport) bool { return t.CanDial(m) }) {
		return &transport.AddressError{Text: a.String(), Part: "no transport of this node dials it",
			Want: "an address of " + names(transports)}
	}
	if !slices.ContainsFunc(wires, func(w Wire) bool { return w.CanDial(a) }) {
		return &transport.AddressError{Text: a.String(), Part: "no wire of this node is spoken there",
			Want: "a node of " + names(wires)}
	}
	return nil
}

// names lists what has names.
func names[T interface{ Name() string }](list []T) string {
	var out []string
	for _, n := range list {
		out = append(out, n.Name())
	}
	return strings.Join(out, " or ")
}
