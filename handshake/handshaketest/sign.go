package handshaketest

import "crypto/ed25519"

// Sign signs any msg with the ed25519 key that grows from seed. An Identity signs only messages that have the form of a
// handshake.Purpose.
func Sign(seed [ed25519.SeedSize]byte, msg []byte) []byte {
	return ed25519.Sign(ed25519.NewKeyFromSeed(seed[:]), msg)
}
