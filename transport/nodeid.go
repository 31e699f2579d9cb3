package transport

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/mr-tron/base58"
)

// NodeID names a node by its public key: one key has one node id, whichever wire it came over. For an ed25519 key it
// is the lower-case hex of SHA-256(key)[:20], as CometBFT uses it (p2p/key.go); for other key types it is the libp2p peer
// id in its base58 form. The empty NodeID means "not known".
//
// A libp2p peer id of an ed25519 key contains that key, so ParseNodeID maps it to the same NodeID.
type NodeID string

// NodeIDSize is the length in bytes of what an ed25519 NodeID spells in hex.
const NodeIDSize = 20

// peer id multihash of an ed25519 key: identity hash (0x00), 36 bytes (0x24), then the protobuf PublicKey
// {Type: Ed25519 = 1, Data: 32 bytes} (libp2p/specs, peer-ids).
var ed25519PeerIDPrefix = []byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}

// NodeIDFromEd25519 returns the node id of a 32-byte ed25519 public key.
func NodeIDFromEd25519(key []byte) NodeID {
	sum := sha256.Sum256(key)
	return NodeID(hex.EncodeToString(sum[:NodeIDSize]))
}

// PeerIDFromEd25519 returns the libp2p peer id (base58, "12D3Koo...") of a 32-byte ed25519 public key.
func PeerIDFromEd25519(key []byte) string {
	b := make([]byte, 0, len(ed25519PeerIDPrefix)+len(key))
	b = append(append(b, ed25519PeerIDPrefix...), key...)
	return base58.Encode(b)
}

// ParseNodeID reads a node id: 40 hex digits (either case), or a libp2p peer id in base58.
func ParseNodeID(s string) (NodeID, error) {
	if len(s) == 2*NodeIDSize {
		if raw, err := hex.DecodeString(s); err == nil {
			return NodeID(hex.EncodeToString(raw)), nil
		}
	}
	const longest = 128 // characters; a peer id has at most 59 (a sha2-256 multihash 46, an ed25519 identity 52)
	if len(s) < 8 || len(s) > longest {
		return "", &NodeIDError{Text: s, Why: "want 40 hex digits or a libp2p peer id"}
	}
	raw, err := base58.Decode(s)
	if err != nil {
		return "", &NodeIDError{Text: s, Why: "neither 40 hex digits nor base58"}
	}
	switch {
	case len(raw) == 38 && string(raw[:6]) == string(ed25519PeerIDPrefix):
		return NodeIDFromEd25519(raw[6:]), nil
	case len(raw) == 34 && raw[0] == 0x12 && raw[1] == 0x20, // sha2-256: RSA and other long keys
		len(raw) > 2 && raw[0] == 0x00 && int(raw[1]) == len(raw)-2 && len(raw) <= 44: // identity: short keys (secp256k1)
		return NodeID(base58.Encode(raw)), nil
	}
	return "", &NodeIDError{Text: s, Why: "not the multihash of a public key"}
}

// IsEd25519 says whether the id is of the 40-hex form.
func (id NodeID) IsEd25519() bool { return len(id) == 2*NodeIDSize }

// Short is the first eight characters, for logs and tables.
func (id NodeID) Short() string {
	if len(id) > 8 {
		if !id.IsEd25519() { // all peer ids begin alike
			return string(id[len(id)-8:])
		}
		return string(id[:8])
	}
	return string(id)
}

// NodeIDError says why a text is not a node id.
type NodeIDError struct{ Text, Why string }

func (e *NodeIDError) Error() string { return fmt.Sprintf("node id %.80q: %s", e.Text, e.Why) }
