package quic

import (
	"context"
	"net"
	"testing"

	"golang.org/x/net/nettest"
)

// TestNetConn runs the suite of net.Conn over streams.
func TestNetConn(t *testing.T) {
	a, b := pair(t, Config{})
	nettest.TestConn(t, func() (near, far net.Conn, stop func(), err error) {
		dialed, err := a.Open(t.Context())
		if err != nil {
			return nil, nil, nil, err
		}
		if _, err = dialed.Write([]byte{1}); err != nil { // the other end knows of the stream when something has come
			return nil, nil, nil, err
		}
		accepted, err := b.Accept(context.Background())
		if err == nil {
			_, err = accepted.Read(make([]byte, 1))
		}
		return dialed, accepted, func() {
			_ = dialed.Reset(0)
			_ = accepted.Reset(0)
		}, err
	})
}
