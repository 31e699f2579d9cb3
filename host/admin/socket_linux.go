package admin

import (
	"fmt"
	"net"
	"syscall"
)

// narrow gives a socket its mode before it has a name, so that at no time others can open it.
func narrow(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), uint32(ownerSocket)) })
	if err != nil {
		return err
	}
	return failed
}

// credentials tells who is at the other end of a socket.
func credentials(c *net.UnixConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return err.Error()
	}
	var cred *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil || failed != nil {
		return "the socket"
	}
	return fmt.Sprintf("uid %d, gid %d, pid %d", cred.Uid, cred.Gid, cred.Pid)
}
