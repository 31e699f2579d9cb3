package peerstore

import "math/bits"

// sipKey is the secret by which addresses are placed in buckets. It is kept with the store: a new one at each start would shuffle all places.
type sipKey [2]uint64

// of is SipHash-1-3 (Aumasson and Bernstein, 2012, with the rounds that hash tables of Rust and Python have) of the words. Who does not know the key cannot choose
// words that hash alike.
func (k sipKey) of(words ...uint64) uint64 {
	v0, v1 := k[0]^0x736f6d6570736575, k[1]^0x646f72616e646f6d
	v2, v3 := k[0]^0x6c7967656e657261, k[1]^0x7465646279746573
	round := func() {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	for _, m := range words {
		v3 ^= m
		round()
		v0 ^= m
	}
	end := uint64(8*len(words)) << 56
	v3 ^= end
	round()
	v0 ^= end
	v2 ^= 0xff
	round()
	round()
	round()
	return v0 ^ v1 ^ v2 ^ v3
}

// below is a number below n that the hash h chooses.
func below(h uint64, n int) int {
	hi, _ := bits.Mul64(h, uint64(n))
	return int(hi)
}
