package handshaketest

import "crypto/ed25519"

// Sign signs msg with the ed25519 key that grows from seed, whatever msg is: an Identity signs only what has the form
// of a handshake.Purpose.
func Sign(seed [ed25519.SeedSize]byte, msg []byte) []byte {
	return ed25519.Sign(ed25519.NewKeyFromSeed(seed[:]), msg)
}
