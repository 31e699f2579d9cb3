//go:build linux || darwin

package badger

import (
	"math"
	"syscall"
)

// freeSpace is how many bytes may still be written to the file system of dir; when that cannot be told, very many.
func freeSpace(dir string) uint64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return math.MaxUint64
	}
	return uint64(s.Bavail) * uint64(s.Bsize)
}
