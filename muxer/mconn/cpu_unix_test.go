//go:build unix

package mconn

import "syscall"

// cpu is the processor time that this process has used, in nanoseconds. Where other processes compete, it tells more
// than the clock.
func cpu() int64 {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return r.Utime.Nano() + r.Stime.Nano()
}
