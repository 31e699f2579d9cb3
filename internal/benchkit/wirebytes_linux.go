package benchkit

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// wireBytes returns how many bytes the TCP connections of this process have received so far: with both ends of all of
// them here, that is what went over the wire, encrypted and framed. Connections that have ended do not count.
func wireBytes() (n uint64) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	for _, e := range fds {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n += info.Bytes_received
		}
	}
	return n
}
