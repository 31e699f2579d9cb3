//go:build !linux

package admin

import (
	"net"
	"syscall"
)

func narrow(string, string, syscall.RawConn) error { return nil }

// credentials tells who is at the other end of a socket, which only Linux does in a way that this package knows.
func credentials(*net.UnixConn) string { return "the socket" }
