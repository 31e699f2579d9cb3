package interoplibp2p

import (
	"syscall"
	"testing"
	"time"
)

// cpu returns the processor time that this process has used, which hardly depends on other load.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
