package secretconn

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/internal/keycrypto"
)

// Limits of what we read in the handshake, in bytes without the length prefix. Honest messages have 34 and 102 bytes;
// the room above is for other encodings of the same and for fields that we do not know. (CometBFT reads up to 1 MiB of
// either.)
const (
	maxEphemeralMessage = 256
	maxAuthMessage      = 1024
)

// Field numbers (CometBFT proto/tendermint/p2p/conn.proto, proto/tendermint/crypto/keys.proto; protobuf
// wrappers.proto).
const (
	fieldValue = 1 // BytesValue.value

	fieldPubKey = 1 // AuthSigMessage.pub_key
	fieldSig    = 2 // AuthSigMessage.sig

	fieldEd25519 = 1 // PublicKey.sum.ed25519
)

// delimited finds a length-delimited message of at most limit bytes at the start of b. It returns the message and its
// length with the prefix; a length of 0 means that b is incomplete.
func delimited(b []byte, limit uint64) (msg []byte, size int, err error) {
	length, n := protowire.ConsumeVarint(b)
	switch {
	case n < 0 && len(b) < protowire.SizeVarint(1<<63):
		return nil, 0, nil
	case n < 0:
		return nil, 0, fmt.Errorf("%w: length prefix", ErrMalformed)
	case length > limit:
		return nil, 0, fmt.Errorf("%w: %d bytes, at most %d", ErrOversized, length, limit)
	case uint64(len(b)-n) < length:
		return nil, 0, nil
	}
	size = n + int(length)
	return b[n:size], size, nil
}

// ephemeralMessageSize is the length of our ephemeral message with its prefix.
const ephemeralMessageSize = 3 + keycrypto.X25519Size

// encodeEphemeral returns our first flight.
func encodeEphemeral(key *keycrypto.X25519Key) (msg [ephemeralMessageSize]byte) {
	msg[0] = ephemeralMessageSize - 1
	msg[1] = byte(protowire.EncodeTag(fieldValue, protowire.BytesType))
	msg[2] = keycrypto.X25519Size
	copy(msg[3:], key[:])
	return msg
}

// decodeEphemeral reads the remote's BytesValue. (CometBFT pads or cuts a key of another length; we refuse it.)
func decodeEphemeral(msg []byte) (key keycrypto.X25519Key, err error) {
	var value []byte
	err = eachField(msg, func(num protowire.Number, typ protowire.Type, v []byte) error {
		if num == fieldValue {
			if typ != protowire.BytesType {
				return fmt.Errorf("%w: field %d has wire type %d", ErrMalformed, num, typ)
			}
			value = v
		}
		return nil
	})
	if err != nil {
		return key, err
	}
	if len(value) != len(key) {
		return key, fmt.Errorf("%w: ephemeral key of %d bytes, want %d", ErrMalformed, len(value), len(key))
	}
	copy(key[:], value)
	return key, nil
}

// authMessageSize is the length of our auth message with its prefix.
const authMessageSize = 1 + 2 + 2 + keycrypto.Ed25519PublicSize + 2 + keycrypto.Ed25519SignatureSize

// encodeAuth returns our AuthSigMessage with its prefix. key and sig have their right lengths.
func encodeAuth(key, sig []byte) []byte {
	msg := make([]byte, 0, authMessageSize)
	msg = append(msg, authMessageSize-1)
	msg = protowire.AppendTag(msg, fieldPubKey, protowire.BytesType)
	msg = append(msg, 2+keycrypto.Ed25519PublicSize)
	msg = protowire.AppendTag(msg, fieldEd25519, protowire.BytesType)
	msg = protowire.AppendBytes(msg, key)
	msg = protowire.AppendTag(msg, fieldSig, protowire.BytesType)
	return protowire.AppendBytes(msg, sig)
}

// decodeAuth reads the remote's AuthSigMessage. What it returns points into msg and has its right length.
func decodeAuth(msg []byte) (key, sig []byte, err error) {
	var pubKey []byte
	err = eachField(msg, func(num protowire.Number, typ protowire.Type, v []byte) error {
		if num != fieldPubKey && num != fieldSig {
			return nil
		}
		if typ != protowire.BytesType {
			return fmt.Errorf("%w: field %d has wire type %d", ErrMalformed, num, typ)
		}
		dst := &pubKey
		if num == fieldSig {
			dst = &sig
		}
		if *dst != nil {
			return fmt.Errorf("%w: field %d twice", ErrMalformed, num)
		}
		*dst = v
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if key, err = decodeKey(pubKey); err != nil {
		return nil, nil, err
	}
	if len(sig) != keycrypto.Ed25519SignatureSize {
		return nil, nil, fmt.Errorf("%w: %d bytes, want %d", ErrBadSignature, len(sig), keycrypto.Ed25519SignatureSize)
	}
	return key, sig, nil
}

// decodeKey reads a PublicKey, a oneof of which we take the ed25519 case only.
func decodeKey(msg []byte) (key []byte, err error) {
	if len(msg) == 0 {
		return nil, ErrNoKey
	}
	err = eachField(msg, func(num protowire.Number, typ protowire.Type, v []byte) error {
		switch {
		case num != fieldEd25519:
			return fmt.Errorf("%w: key type %d", ErrKeyType, num)
		case typ != protowire.BytesType:
			return fmt.Errorf("%w: key has wire type %d", ErrMalformed, typ)
		case key != nil:
			return fmt.Errorf("%w: two keys", ErrMalformed)
		case len(v) != keycrypto.Ed25519PublicSize:
			return fmt.Errorf("%w: ed25519 key of %d bytes, want %d", ErrMalformed, len(v), keycrypto.Ed25519PublicSize)
		}
		key = v
		return nil
	})
	return key, err
}

// eachField calls f for every field of a protobuf message. v is the content of a length-delimited field, not nil; nil
// for other wire types. Messages are read by hand because generated code hides repeated fields and keys of another
// type, which we refuse by name, and because nothing is allocated before the remote has proven its key.
func eachField(msg []byte, f func(num protowire.Number, typ protowire.Type, v []byte) error) error {
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrMalformed, protowire.ParseError(n))
		}
		if num > protowire.MaxValidNumber {
			return fmt.Errorf("%w: field number %d is above the largest", ErrMalformed, num)
		}
		msg = msg[n:]
		var v []byte
		if typ == protowire.BytesType {
			v, n = protowire.ConsumeBytes(msg)
		} else {
			n = protowire.ConsumeFieldValue(num, typ, msg)
		}
		if n < 0 {
			return fmt.Errorf("%w: field %d: %w", ErrMalformed, num, protowire.ParseError(n))
		}
		if err := f(num, typ, v); err != nil {
			return err
		}
		msg = msg[n:]
	}
	return nil
}
