package handshake

import (
	"fmt"

	"github.com/switchyard-p2p/switchyard/internal/keycrypto"
	"github.com/switchyard-p2p/switchyard/transport"
)

// KeyType is the kind of a public key. The numbers are libp2p's (libp2p/specs, peer-ids).
type KeyType uint8

const (
	RSA       KeyType = 0
	Ed25519   KeyType = 1
	Secp256k1 KeyType = 2
	ECDSA     KeyType = 3
)

func (t KeyType) String() string {
	switch t {
	case RSA:
		return "rsa"
	case Ed25519:
		return "ed25519"
	case Secp256k1:
		return "secp256k1"
	case ECDSA:
		return "ecdsa"
	}
	return fmt.Sprintf("key-type-%d", uint8(t))
}

// PublicKey is a node's public key. Our own are ed25519 (NewEd25519Key); the other types come with the libp2p wire
// (ParsePublicKey). Two keys are equal exactly if == says so.
type PublicKey struct {
	Type KeyType
	raw  string // valid for Type: NewEd25519Key and NewPublicKey see to it
}

// Ed25519KeySize is the length of an ed25519 public key in bytes.
const Ed25519KeySize = keycrypto.Ed25519PublicSize

// NewEd25519Key takes the 32 bytes of an ed25519 public key.
func NewEd25519Key(raw []byte) (PublicKey, error) {
	if len(raw) != Ed25519KeySize {
		return PublicKey{}, fmt.Errorf("ed25519 public key of %d bytes, want %d", len(raw), Ed25519KeySize)
	}
	return PublicKey{Type: Ed25519, raw: string(raw)}, nil
}

// Raw returns a copy of the key's bytes, as NewPublicKey takes them; nil for the zero key.
func (k PublicKey) Raw() []byte { return []byte(k.raw) }

// IsZero reports whether this is no key.
func (k PublicKey) IsZero() bool { return k.raw == "" }

// NodeID returns the node id that the key has.
func (k PublicKey) NodeID() transport.NodeID {
	if k.raw == "" {
		return ""
	}
	if k.Type != Ed25519 {
		return transport.NodeID(k.PeerID())
	}
	return transport.NodeIDFromEd25519([]byte(k.raw))
}

// PeerID returns the libp2p peer id that the key has.
func (k PublicKey) PeerID() string {
	if k.raw == "" {
		return ""
	}
	if k.Type != Ed25519 {
		return foreignPeerID(k)
	}
	return transport.PeerIDFromEd25519([]byte(k.raw))
}

// Verify reports whether sig is the key's signature of msg: of msg itself for ed25519, of its SHA-256 for the other
// types (RSA PKCS #1 v1.5, ECDSA and secp256k1 in DER; libp2p/specs, peer-ids).
func (k PublicKey) Verify(msg, sig []byte) bool {
	if k.Type != Ed25519 {
		return verifyForeign(k, msg, sig)
	}
	return keycrypto.VerifyEd25519([]byte(k.raw), msg, sig)
}
