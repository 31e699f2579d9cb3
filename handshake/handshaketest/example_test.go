package handshaketest_test

import (
	"fmt"
	"io"

	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
)

// Both ends of a connection may write before they read.
func ExamplePipe() {
	dialer, listener := handshaketest.Pipe("/ip4/10.0.0.1/tcp/50000", "/ip4/10.0.0.2/tcp/26656")
	fmt.Fprint(dialer, "hello")
	fmt.Fprint(listener, "welcome")
	_ = dialer.CloseWrite()
	text, err := io.ReadAll(listener)
	fmt.Printf("%s %v from %s\n", text, err, listener.RemoteIP())
	// Output: hello <nil> from 10.0.0.1
}
