package handshake

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	secpecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/mr-tron/base58"
)

// The keys that are not ed25519: other nodes of the libp2p family have them, we never do.

// Bounds of RSA keys, in bits. Short ones can be broken; the time to verify a signature grows with the square of the
// length, and keys of any length stopped whole nodes (CVE-2023-39533).
const (
	MinRSABits = 2048
	MaxRSABits = 8192
)

// maxKeyData bounds the bytes of a key before anything is parsed: an RSA key of MaxRSABits has 1062 at most, the
// modulus and 38 around it.
const maxKeyData = MaxRSABits/8 + 48

// NewPublicKey takes the bytes of a public key, the Data of libp2p's form (libp2p/specs, peer-ids): 32 bytes for
// ed25519, the 33 of a compressed point for secp256k1, the DER of PKIX for ECDSA (on P-256) and for RSA (of MinRSABits
// to MaxRSABits). Its errors are *KeyError.
func NewPublicKey(t KeyType, data []byte) (PublicKey, error) {
	if len(data) > maxKeyData {
		return PublicKey{}, &KeyError{Why: fmt.Sprintf("%s key of %d bytes, at most %d", t, len(data), maxKeyData)}
	}
	var err error
	switch t {
	case Ed25519:
		if len(data) != Ed25519KeySize {
			err = &KeyError{Why: fmt.Sprintf("ed25519 key of %d bytes, want %d", len(data), Ed25519KeySize)}
		}
	case Secp256k1:
		_, err = parseSecp256k1(data)
	case ECDSA:
		_, err = parseECDSA(data)
	case RSA:
		_, err = parseRSA(data)
	default:
		err = &KeyError{Why: fmt.Sprintf("unknown key type %d", uint8(t))}
	}
	if err != nil {
		return PublicKey{}, err
	}
	return PublicKey{Type: t, raw: string(data)}, nil
}

func parseSecp256k1(data []byte) (*secp256k1.PublicKey, error) {
	if len(data) != secp256k1.PubKeyBytesLenCompressed {
		return nil, &KeyError{Why: fmt.Sprintf("secp256k1 key of %d bytes, want %d", len(data),
			secp256k1.PubKeyBytesLenCompressed)}
	}
	key, err := secp256k1.ParsePubKey(data)
	if err != nil {
		return nil, &KeyError{"no secp256k1 key", err}
	}
	return key, nil
}

func parseECDSA(data []byte) (*ecdsa.PublicKey, error) {
	key, err := parsePKIX[*ecdsa.PublicKey](ECDSA, data)
	if err == nil && key.Curve != elliptic.P256() {
		return nil, &KeyError{Why: "ecdsa key on " + key.Curve.Params().Name + ", want P-256"}
	}
	return key, err
}

func parseRSA(data []byte) (*rsa.PublicKey, error) {
	key, err := parsePKIX[*rsa.PublicKey](RSA, data)
	if err != nil {
		return nil, err
	}
	if bits := key.N.BitLen(); bits < MinRSABits || bits > MaxRSABits {
		return nil, &KeyError{Why: fmt.Sprintf("rsa key of %d bits, want %d to %d", bits, MinRSABits, MaxRSABits)}
	}
	return key, nil
}

// parsePKIX reads DER. It takes only what encodes to the same bytes again: one key has one id.
func parsePKIX[K any](t KeyType, data []byte) (key K, err error) {
	if len(data) > maxKeyData {
		return key, &KeyError{Why: fmt.Sprintf("%s key of %d bytes, at most %d", t, len(data), maxKeyData)}
	}
	any, err := x509.ParsePKIXPublicKey(data)
	if err != nil {
		return key, &KeyError{"no " + t.String() + " key", err}
	}
	k, ok := any.(K)
	if !ok {
		return key, &KeyError{Why: fmt.Sprintf("no %s key, but a %T", t, any)}
	}
	if again, err := x509.MarshalPKIXPublicKey(k); err != nil || string(again) != string(data) {
		return key, &KeyError{"not the right encoding of the " + t.String() + " key", err}
	}
	return k, nil
}

// foreignPeerID returns the libp2p peer id: the multihash of the protobuf form, itself if that is short enough, else
// its SHA-256, in base58 (libp2p/specs, peer-ids).
func foreignPeerID(k PublicKey) string {
	const (
		identity, sha2, longest = 0x00, 0x12, 42
	)
	form := k.AppendProto(make([]byte, 0, MaxKeyProto))
	if len(form) <= longest {
		return base58.Encode(append([]byte{identity, byte(len(form))}, form...))
	}
	sum := sha256.Sum256(form)
	return base58.Encode(append([]byte{sha2, sha256.Size}, sum[:]...))
}

func verifyForeign(k PublicKey, msg, sig []byte) bool {
	sum, data := sha256.Sum256(msg), []byte(k.raw)
	switch k.Type {
	case Secp256k1:
		key, err := parseSecp256k1(data)
		if err != nil {
			return false
		}
		s, err := secpecdsa.ParseDERSignature(sig)
		return err == nil && s.Verify(sum[:], key)
	case ECDSA:
		key, err := parseECDSA(data)
		return err == nil && ecdsa.VerifyASN1(key, sum[:], sig)
	case RSA:
		key, err := parseRSA(data)
		return err == nil && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sig) == nil
	}
	return false
}
