// Package secretconn secures a byte connection the way CometBFT and Tendermint nodes do (SecretConnection): an X25519
// exchange of ephemeral keys, a signature over a challenge that both ends derive from it, and then frames sealed with
// ChaCha20-Poly1305.
//
// The protocol is symmetric, so dialer and listener call the same Handshake. On the wire:
//
//	both   uvarint length, BytesValue{value: 32-byte ephemeral X25519 key}      in the clear
//	both   uvarint length, AuthSigMessage{pub_key, sig}                         in frames, as all that follows
//
// A frame is 4 bytes little-endian length (at most 1024), 1024 bytes of data padded with zeros, and a 16-byte tag: 1044
// bytes on the wire whatever it carries. Its nonce is 4 zero bytes and a 64-bit little-endian counter, one counter a
// direction.
//
// A Conn reads and writes without a system call or an allocation per frame: Write gathers and seals frames in one
// pooled buffer and Flush sends them with one write; Next reads as much as has arrived and hands out each frame's data
// where it was opened. An idle Conn holds only a small buffer.
//
// Facts: p2p/conn/secret_connection.go of CometBFT v0.40.0, spec/p2p/legacy-docs/peer.md.
package secretconn

// Sizes of the wire, in bytes (CometBFT p2p/conn/secret_connection.go).
const (
	lengthSize = 4
	dataSize   = 1024                  // most data in a frame
	plainSize  = lengthSize + dataSize // what is sealed
	tagSize    = 16
	sealedSize = plainSize + tagSize // what goes over the wire
)
