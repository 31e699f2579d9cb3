package peerstore

import "unsafe"

// hugeArray is how large an array must be, in bytes, to be worth pages of its own: a book of some 100,000 peers begins to have such.
const hugeArray = 512 << 10

// array makes a slice. Memory that is far apart is what a large book costs, and on pages of 4 KiB the processor misses it twice, once for the page's address: so the
// system is asked for huge pages beneath what is large.
func array[T any](n int) []T {
	all := make([]T, n)
	if size := uintptr(n) * unsafe.Sizeof(all[0]); size >= hugeArray {
		useHugePages(uintptr(unsafe.Pointer(&all[0])), size)
	}
	return all
}

// push is append that lets a large slice grow by array.
func push[T any](all []T, one T) []T {
	if n := len(all); n == cap(all) && uintptr(n)*unsafe.Sizeof(one) >= hugeArray {
		more := array[T](n + n/4)[:n]
		copy(more, all)
		all = more
	}
	return append(all, one)
}

// pieces are cut from larger arrays, so that they share huge pages. An array goes when nothing that was cut from it is used any more.
type pieces[T any] struct{ rest []T }

// take cuts n zero values, if it must of a new array of size values.
func (p *pieces[T]) take(n, size int) []T {
	if len(p.rest) < n {
		p.rest = array[T](max(n, size))
	}
	piece := p.rest[:n:n]
	p.rest = p.rest[n:]
	return piece
}
