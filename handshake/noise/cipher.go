package noise

import (
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"math"

	"golang.org/x/crypto/chacha20poly1305"
)

// cipherState seals or opens messages under one key, each with the next nonce: 4 zero bytes, then a little-endian
// counter (noiseprotocol.org, section 12.3). Without a key it passes them on as they are.
type cipherState struct {
	aead  cipher.AEAD
	count uint64
	nonce [chacha20poly1305.NonceSize]byte // here and not on a stack, or every message would allocate one
}

func (c *cipherState) setKey(key *[keySize]byte) {
	c.aead, _ = chacha20poly1305.New(key[:]) // fails for other lengths only
	c.count = 0
}

// seal appends plain, sealed, to dst, which may be plain[:0].
func (c *cipherState) seal(dst, plain, ad []byte) ([]byte, error) {
	if c.aead == nil {
		return append(dst, plain...), nil
	}
	if c.count == math.MaxUint64 { // the last nonce is kept for rekeying (section 5.1), which libp2p does not use
		return nil, ErrNonceExhausted
	}
	binary.LittleEndian.PutUint64(c.nonce[4:], c.count)
	c.count++
	return c.aead.Seal(dst, c.nonce[:], plain, ad), nil
}

// open appends what is in sealed to dst, which may be sealed[:0].
func (c *cipherState) open(dst, sealed, ad []byte) ([]byte, error) {
	switch {
	case c.aead == nil:
		return append(dst, sealed...), nil
	case c.count == math.MaxUint64:
		return nil, ErrNonceExhausted
	case len(sealed) < tagSize:
		return nil, ErrTruncated
	}
	binary.LittleEndian.PutUint64(c.nonce[4:], c.count)
	c.count++
	out, err := c.aead.Open(dst, c.nonce[:], sealed, ad)
	if err != nil {
		return nil, ErrDecrypt
	}
	return out, nil
}

// hkdf2 derives two keys from the chaining key and new material (noiseprotocol.org, section 4.3).
func hkdf2(ck *[keySize]byte, material []byte) (a, b [keySize]byte) {
	temp := hmacShort(ck, material)
	a = hmacShort(&temp, []byte{1})
	var more [keySize + 1]byte
	copy(more[:], a[:])
	more[keySize] = 2
	b = hmacShort(&temp, more[:])
	clear(temp[:])
	clear(more[:])
	return a, b
}

// hmacShort is HMAC-SHA-256 (RFC 2104) of at most keySize+1 bytes, the only use of it here; the general one of the
// standard library allocates seven times a call.
func hmacShort(key *[keySize]byte, data []byte) [sha256.Size]byte {
	var inner [sha256.BlockSize + keySize + 1]byte
	var outer [sha256.BlockSize + sha256.Size]byte
	copy(inner[:], key[:])
	copy(outer[:], key[:])
	for i := range sha256.BlockSize {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	n := copy(inner[sha256.BlockSize:], data)
	sum := sha256.Sum256(inner[:sha256.BlockSize+n])
	copy(outer[sha256.BlockSize:], sum[:])
	sum = sha256.Sum256(outer[:])
	clear(inner[:])
	clear(outer[:])
	return sum
}
