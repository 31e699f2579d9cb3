//go:build darwin || freebsd

package signergrpc

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerUID returns the user of the other end of a unix connection, as of when it connected or listened.
func peerUID(c *net.UnixConn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Xucred
	var failed error
	const local = 0 // SOL_LOCAL
	err = raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptXucred(int(fd), local, unix.LOCAL_PEERCRED)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return 0, err
	}
	return int(cred.Uid), nil
}
