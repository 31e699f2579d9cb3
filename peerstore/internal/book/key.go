package book

import (
	"crypto/sha256"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// nodeKey is a node id in fixed size: the 20 bytes that 40 hex digits spell. For any other id it is a hash, and hashed
// is set.
type nodeKey struct {
	raw    [transport.NodeIDSize]byte
	hashed bool
}

func keyOf(id transport.NodeID) nodeKey {
	raw, ok := id.Bytes()
	if !ok {
		sum := sha256.Sum256([]byte(id))
		raw = [transport.NodeIDSize]byte(sum[:])
	}
	return nodeKey{raw, !ok}
}

// keyOfAddress returns the key of the node that an address names; false if it names none.
func keyOfAddress(a *transport.Address) (nodeKey, bool) {
	if p := a.Packed(); p != nil {
		return nodeKey{raw: p.Node}, true
	}
	id := a.ID()
	if id == "" || len(id) > peerstore.MaxID {
		return nodeKey{}, false
	}
	return keyOf(id), true
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
