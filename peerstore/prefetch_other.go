//go:build !amd64 && !arm64

package peerstore

import "unsafe"

// prefetch does nothing here.
func prefetch(unsafe.Pointer) {}
