package transport

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/mr-tron/base58"
	ma "github.com/multiformats/go-multiaddr"
)

// NodeID names a node by its public key: one key has one node id, whichever wire it came over. For an ed25519 key it is
// the lower-case hex of SHA-256(key)[:20], as CometBFT uses it (p2p/key.go); for other key types it is the libp2p peer
// id in its base58 form. The empty NodeID means "not known".
//
// A libp2p peer id of an ed25519 key contains that key, so ParseNodeID maps it to the same NodeID.
type NodeID string

// NodeIDSize is the length in bytes of what an ed25519 NodeID spells in hex.
const NodeIDSize = 20

// peer id multihash of an ed25519 key: identity hash (0x00), 36 bytes (0x24), then the protobuf PublicKey
// {Type: Ed25519 = 1, Data: 32 bytes} (libp2p/specs, peer-ids).
var ed25519PeerIDPrefix = []byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}

// likewise {Type: Secp256k1 = 2, Data: 33 bytes}, 37 bytes
var secp256k1PeerIDPrefix = []byte{0x00, 0x25, 0x08, 0x02, 0x12, 0x21}

// NodeIDFromEd25519 returns the node id of a 32-byte ed25519 public key.
func NodeIDFromEd25519(key []byte) NodeID {
	sum := sha256.Sum256(key)
	var text [2 * NodeIDSize]byte
	hex.Encode(text[:], sum[:NodeIDSize])
	return NodeID(text[:])
}

// PeerIDFromEd25519 returns the libp2p peer id (base58, "12D3Koo...") of a 32-byte ed25519 public key.
func PeerIDFromEd25519(key []byte) string {
	b := make([]byte, 0, len(ed25519PeerIDPrefix)+len(key))
	b = append(append(b, ed25519PeerIDPrefix...), key...)
	return base58.Encode(b)
}

// ParseNodeID reads a node id: 40 hex digits (either case), or a libp2p peer id in base58 or as a CIDv1. Its error is a
// *NodeIDError.
func ParseNodeID(s string) (NodeID, error) {
	if len(s) == 2*NodeIDSize {
		if raw, err := hex.DecodeString(s); err == nil {
			return NodeID(hex.EncodeToString(raw)), nil
		}
	}
	text, key, why := decodePeerID(s)
	switch {
	case why != "":
		return "", &NodeIDError{Text: s, Why: why}
	case key != nil:
		return NodeIDFromEd25519(key), nil
	}
	return NodeID(strings.Clone(text)), nil
}

// decodePeerID reads a libp2p peer id. It returns its canonical text (base58; it may share memory with s) and the key
// if that is an ed25519 one, or why s is none.
func decodePeerID(s string) (text string, key []byte, why string) {
	const longest = 128 // bytes; base58 forms have 46 to 53, CIDv1 forms up to about 85
	if len(s) < 8 || len(s) > longest {
		return "", nil, "want 40 hex digits or a libp2p peer id"
	}
	var raw []byte
	if s[0] == '1' || strings.HasPrefix(s, "Qm") {
		b, err := base58.Decode(s)
		if err != nil {
			return "", nil, "neither 40 hex digits nor base58"
		}
		raw, text = b, s
	} else { // a CID (libp2p/specs, peer-ids: both forms must be read)
		c, err := ma.NewComponent("p2p", s)
		if err != nil {
			return "", nil, "neither 40 hex digits nor a libp2p peer id"
		}
		raw = c.RawValue()
		text = base58.Encode(raw)
	}
	switch {
	case len(raw) == 38 && string(raw[:6]) == string(ed25519PeerIDPrefix):
		return text, raw[6:], ""
	case len(raw) == 34 && raw[0] == 0x12 && raw[1] == 0x20, // sha2-256 of a long key (RSA, ECDSA)
		len(raw) == 39 && string(raw[:6]) == string(secp256k1PeerIDPrefix): // the key itself
		return text, nil, ""
	}
	return "", nil, "not the multihash of a public key"
}

// IsEd25519 reports whether the id is of the 40-hex form.
func (id NodeID) IsEd25519() bool { return len(id) == 2*NodeIDSize }

// Short returns the first eight characters, for logs and tables.
func (id NodeID) Short() string {
	if len(id) > 8 {
		if !id.IsEd25519() { // all peer ids begin alike
			return string(id[len(id)-8:])
		}
		return string(id[:8])
	}
	return string(id)
}

// NodeIDError reports why a text is not a node id.
type NodeIDError struct{ Text, Why string }

func (e *NodeIDError) Error() string { return fmt.Sprintf("node id %.80q: %s", e.Text, e.Why) }
