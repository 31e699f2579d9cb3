//go:build !amd64 && !arm64

package peerstore

import "unsafe"

// prefetch does nothing here.
func prefetch(unsafe.Pointer) {}

// prefetch2 does nothing here.
func prefetch2(unsafe.Pointer) {}

// prefetch3 does nothing here.
func prefetch3(unsafe.Pointer) {}
