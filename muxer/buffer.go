package muxer

import (
	"math/bits"
	"sync"
	"unsafe"
)

// Buffers of received messages can be used again: a session takes them with NewBuffer, and a service that has done with
// a message may give its memory back with FreeBuffer (host.Envelope.Release does). Nobody has to: what is not given
// back is collected like any other memory.

const (
	minPooled  = 512     // bytes; smaller buffers cost the allocator less than a pool costs us
	maxPooled  = 2 << 20 // a message of 1 MiB and a little more; larger ones are rare, and too much to keep
	minOctave  = 9       // log2 of minPooled
	octaves    = 21 - minOctave
	perOctave  = 4 // sizes an octave: a buffer is at most a quarter larger than what was asked for
	numClasses = octaves*perOctave + 1
)

// pools hold pointers to the first byte: a slice in an interface would be an allocation of its own.
var pools [numClasses]sync.Pool

// class returns the index and the size of the smallest class that holds n bytes, minPooled <= n <= maxPooled.
func class(n int) (index, size int) {
	octave := max(bits.Len(uint(n-1))-1, minOctave)
	step := 1 << (octave - 2)
	above := (n - 1<<octave + step - 1) / step // 0 to perOctave
	return (octave-minOctave)*perOctave + above, 1<<octave + above*step
}

// BufferSize is the capacity of what NewBuffer(n) returns.
func BufferSize(n int) int {
	if n < minPooled || n > maxPooled {
		return n
	}
	_, size := class(n)
	return size
}

// NewBuffer returns n bytes whose content is not defined.
func NewBuffer(n int) []byte {
	if n < minPooled || n > maxPooled {
		return make([]byte, n)
	}
	i, size := class(n)
	if p, _ := pools[i].Get().(*byte); p != nil {
		return unsafe.Slice(p, size)[:n]
	}
	return make([]byte, size)[:n]
}

// FreeBuffer gives back memory that nobody uses any more, be it from NewBuffer or not. b must begin where its memory
// does: it is not a part of another slice.
func FreeBuffer(b []byte) {
	n := cap(b)
	if n < minPooled || n > maxPooled {
		return
	}
	if i, size := class(n); size == n {
		pools[i].Put(unsafe.SliceData(b))
	}
}
