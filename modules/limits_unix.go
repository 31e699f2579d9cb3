//go:build unix

package modules

import (
	"math"
	"syscall"
)

// openFiles is how many file descriptors this process may open. (Go raises the soft limit to the hard one at start.)
func openFiles() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return fallbackFiles
	}
	return int(min(uint64(r.Cur), math.MaxInt32))
}
