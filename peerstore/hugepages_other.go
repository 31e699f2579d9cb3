//go:build !linux

package peerstore

// useHugePages does nothing here.
func useHugePages(_, _ uintptr) {}
