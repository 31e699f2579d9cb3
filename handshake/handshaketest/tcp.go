package handshaketest

import (
	"net"
	"testing"
	"time"
)

// Timeout bounds what a broken test may take; no test waits for it.
const Timeout = 20 * time.Second

// TCPDialer returns what makes connections over loopback, until the test ends. The caller closes them.
func TCPDialer(tb testing.TB) func() (dialer, listener net.Conn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return func() (dialer, listener net.Conn) {
		if dialer, err = net.Dial("tcp", l.Addr().String()); err != nil {
			tb.Fatal(err)
		}
		if listener, err = l.Accept(); err != nil {
			tb.Fatal(err)
		}
		return dialer, listener
	}
}

// TCPPair returns both ends of a loopback connection. They are closed when the test ends, and do nothing after Timeout.
func TCPPair(tb testing.TB) (dialer, listener net.Conn) {
	tb.Helper()
	dialer, listener = TCPDialer(tb)()
	for _, c := range []net.Conn{dialer, listener} {
		tb.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(Timeout))
	}
	return dialer, listener
}
