package comet

import (
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/cometpb"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Limits of the extension of a node info, ours and a remote's.
const (
	maxExtension = 2048 // bytes
	maxWires     = 8
	maxWire      = 32  // bytes of a wire's name
	maxAlso      = 16  // multiaddrs
	maxAlsoBytes = 256 // of one
)

// extension returns what a Switchyard node adds to its node info: the wires that it speaks, and its addresses besides
// the one that the wire has room for. CometBFT skips it. A node that has nothing to add sends what CometBFT sends.
func extension(n *handshake.NodeInfo) []byte {
	m := &cometpb.InfoExtension{Wires: n.Wires, Moves: n.Moves}
	for _, text := range n.Also[:min(len(n.Also), maxAlso)] {
		if addr, err := ma.NewMultiaddr(text); err == nil && len(addr.Bytes()) <= maxAlsoBytes {
			m.Also = append(m.Also, addr.Bytes())
		}
	}
	if len(m.Also) == 0 && (len(n.Wires) == 0 || len(n.Wires) == 1 && n.Wires[0] == transport.WireComet) {
		return nil
	}
	for proto.Size(m) > maxExtension && len(m.Also) > 0 {
		m.Also = m.Also[:len(m.Also)-1]
	}
	b, err := proto.Marshal(m)
	if err != nil || len(b) > maxExtension {
		return nil // the name of a wire that no remote could use
	}
	return b
}

// readExtension adds what a remote's extension says to its node info. It ignores an extension, or a part of one, that
// it does not understand: the number of the field belongs to nobody.
func readExtension(n *handshake.NodeInfo, b []byte) {
	m := &cometpb.InfoExtension{}
	if len(b) == 0 || len(b) > maxExtension || (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, m) != nil {
		return
	}
	n.Moves = m.Moves
	for _, name := range m.Wires {
		if len(n.Wires) < maxWires && isWireName(name) {
			n.Wires = append(n.Wires, name)
		}
	}
	for _, raw := range m.Also {
		if len(n.Also) == maxAlso || len(raw) > maxAlsoBytes {
			continue
		}
		if addr, err := ma.NewMultiaddrBytes(raw); err == nil && len(addr) > 0 {
			n.Also = append(n.Also, addr.String())
		}
	}
}

func isWireName(s string) bool {
	for i := range len(s) {
		if s[i] <= 32 || s[i] > 126 {
			return false
		}
	}
	return s != "" && len(s) <= maxWire
}
