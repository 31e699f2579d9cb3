//go:build !linux

package benchkit

// wireBytes returns 0: only Linux counts the bytes of a connection.
func wireBytes() uint64 { return 0 }
