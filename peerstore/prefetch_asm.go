//go:build amd64 || arm64

package peerstore

import "unsafe"

// prefetch lets the processor begin to load the memory at p (64 bytes of it) and does not wait for it: for what will be read soon and lies far from all that was read
// lately. It may be any address.
//
//go:noescape
func prefetch(p unsafe.Pointer)

// prefetch2 is prefetch of 128 bytes, and prefetch3 of 192.
//
//go:noescape
func prefetch2(p unsafe.Pointer)

//go:noescape
func prefetch3(p unsafe.Pointer)
