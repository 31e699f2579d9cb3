package beside

import (
	"fmt"
	"os"
	"sync/atomic"
)

var ips atomic.Uint32

// FreshIP is a loopback address of its own for each listener, so that the closed connections of one measurement (each keeps its port for a minute) do not
// get in the way of the next.
func FreshIP() string {
	n := ips.Add(1) + uint32(os.Getpid())<<8
	return fmt.Sprintf("127.%d.%d.%d", 1+n>>16&0x7f, n>>8&0xff, 1+n%250)
}
