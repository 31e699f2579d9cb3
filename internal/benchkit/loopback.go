package benchkit

import (
	"fmt"
	"os"
	"sync/atomic"
)

var ips atomic.Uint32

// FreshIP returns a loopback address that no earlier call returned. With one for each listener, the closed connections
// of one measurement, which keep their ports for a minute, do not slow the next.
func FreshIP() string {
	n := ips.Add(1) + uint32(os.Getpid())<<8
	return fmt.Sprintf("127.%d.%d.%d", 1+n>>16&0x7f, n>>8&0xff, 1+n%250)
}
