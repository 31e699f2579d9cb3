package handshake

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// libp2p's protobuf form of a public key is PublicKey{Type = 1, Data = 2} (libp2p/specs, peer-ids). Peer ids are hashes
// of it, so it has exactly one encoding: both fields, in order, in the shortest form, and nothing else.
const (
	fieldKeyType = 1
	fieldKeyData = 2
)

// KeyError reports why bytes are no public key that we take.
type KeyError struct {
	Why string
	Err error // the cause underneath; may be nil
}

func (e *KeyError) Error() string {
	if e.Err != nil {
		return "public key: " + e.Why + ": " + e.Err.Error()
	}
	return "public key: " + e.Why
}

func (e *KeyError) Unwrap() error { return e.Err }

// MaxKeyProto is the length in bytes of the longest public key that ParsePublicKey takes.
const MaxKeyProto = 2 + 1 + 2 + maxKeyData

// ParsePublicKey reads libp2p's protobuf form of a public key. It takes only the one right encoding of a key of a known
// type, and computes nothing with a key whose size is out of bounds. Its errors are *KeyError. What it returns shares
// no memory with b.
func ParsePublicKey(b []byte) (PublicKey, error) {
	if len(b) > MaxKeyProto {
		return PublicKey{}, &KeyError{Why: fmt.Sprintf("%d bytes, at most %d", len(b), MaxKeyProto)}
	}
	if len(b) < 4 || b[0] != fieldKeyType<<3|byte(protowire.VarintType) || b[1] >= 0x80 ||
		b[2] != fieldKeyData<<3|byte(protowire.BytesType) {
		return PublicKey{}, &KeyError{Why: "not the encoding of a type and its data"}
	}
	data, n := protowire.ConsumeBytes(b[3:])
	if n < 0 || n != len(b)-3 || n != protowire.SizeBytes(len(data)) {
		return PublicKey{}, &KeyError{Why: "the data's length is not right"}
	}
	return NewPublicKey(KeyType(b[1]), data)
}

// AppendProto appends libp2p's protobuf form of the key to b.
func (k PublicKey) AppendProto(b []byte) []byte {
	b = append(b, fieldKeyType<<3|byte(protowire.VarintType), byte(k.Type))
	b = append(b, fieldKeyData<<3|byte(protowire.BytesType))
	return protowire.AppendString(b, k.raw)
}
