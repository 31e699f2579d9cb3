// Package corpus makes inputs for tests of decoders.
package corpus

import "slices"

// HugeLengths returns copies of seed in which each byte in turn is replaced by lengths (uvarints) that do not fit into
// 31, 32 or 63 bits: where a length stood, a decoder must not take them for small or negative numbers.
func HugeLengths(seed []byte) [][]byte {
	var out [][]byte
	for i := range seed[:min(len(seed), 256)] {
		for _, length := range [...]string{
			"\x80\x80\x80\x80\x08", "\xff\xff\xff\xff\x0f", "\xfe\xff\xff\xff\x07", "\x80\x80\x80\x80\x10",
			"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		} {
			out = append(out, slices.Concat(seed[:i], []byte(length), seed[i+1:]))
		}
	}
	return out
}
