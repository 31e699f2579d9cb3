// Package keycrypto chooses the implementations of X25519 and Ed25519. No other package of the main module imports one,
// except that handshake/tls uses crypto/tls, which brings its own, and crypto/ed25519's types for certificates.
//
// Time of one operation on 2026-11-30, in µs: the least of 80 runs of
//
//	go test -run xxx -bench . -benchtime 200x -count 80 ./internal/keycrypto
//
// on a Xeon with AVX2, Go 1.26.8:
//
//	                    crypto/ecdh, crypto/ed25519   curve25519-voi   circl v1.6.3
//	X25519, make a key                         33.8             10.9           18.5
//	X25519, exchange                           32.9             34.1           26.5
//	Ed25519, sign                              16.2             11.3              -
//	Ed25519, verify                            37.9             29.5              -
//
// So:
//
//   - Ed25519 is curve25519-voi's, which CometBFT uses too. As it is used here it refuses public keys of small order,
//     for which anyone can sign, and encodings that are not canonical. SecretConnection's merlin transcript comes from
//     the same module.
//   - curve25519-voi makes the X25519 keys.
//   - circl does the X25519 exchange. It is the one dependency that is there for speed alone. A set-up over Noise has
//     six exchanges, one over comet has two: with curve25519-voi in its place they take 66 and 29 µs more processor
//     time, both ends together (of 400 and 255).
//
// The tests compare the implementations with the standard library's. See also docs/decisions/cryptography.md.
package keycrypto

import (
	"crypto/rand"

	circl "github.com/cloudflare/circl/dh/x25519"
	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
	"github.com/oasisprotocol/curve25519-voi/primitives/x25519"
)

// Sizes in bytes.
const (
	X25519Size           = 32 // of private keys, public keys and shared secrets
	Ed25519SeedSize      = 32
	Ed25519PublicSize    = 32
	Ed25519PrivateSize   = 64 // seed and public key
	Ed25519SignatureSize = 64
)

// X25519Key is a private or public key, or a shared secret.
type X25519Key = [X25519Size]byte

// NewX25519 makes a key pair from the system's randomness.
func NewX25519() (private, public X25519Key, err error) {
	pub, priv, err := x25519.GenerateKey(rand.Reader)
	if err != nil {
		return private, public, err
	}
	private, public = X25519Key(*priv), X25519Key(*pub)
	clear(priv[:])
	return private, public, nil
}

// X25519 computes the secret that private shares with the owner of public. It reports false, and no secret, if public
// is of low order (RFC 7748, section 6.1): then the secret would be zero, whatever the private key.
func X25519(shared, private, public *X25519Key) bool {
	return circl.Shared((*circl.Key)(shared), (*circl.Key)(private), (*circl.Key)(public))
}

// Ed25519Private is a private key, its seed and then its public key: the form of crypto/ed25519.
type Ed25519Private []byte

// NewEd25519 makes a private key from the system's randomness.
func NewEd25519() (Ed25519Private, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return Ed25519Private(private), err
}

// Ed25519FromSeed returns the private key that grows from seed.
func Ed25519FromSeed(seed [Ed25519SeedSize]byte) Ed25519Private {
	return Ed25519Private(ed25519.NewKeyFromSeed(seed[:]))
}

// Public returns the public key. It shares the memory of the private one.
func (k Ed25519Private) Public() []byte { return k[Ed25519SeedSize:] }

// Sign signs msg.
func (k Ed25519Private) Sign(msg []byte) []byte { return ed25519.Sign(ed25519.PrivateKey(k), msg) }

// VerifyEd25519 reports whether sig is a signature of msg. It is false for a key or signature of the wrong length, and
// for a key of small order.
func VerifyEd25519(public, msg, sig []byte) bool {
	return len(public) == Ed25519PublicSize && len(sig) == Ed25519SignatureSize && ed25519.Verify(public, msg, sig)
}
