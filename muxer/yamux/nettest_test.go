package yamux

import (
	"io"
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// TestNetConn runs the suite of net.Conn over streams.
func TestNetConn(t *testing.T) {
	nettest.TestConn(t, func() (near, far net.Conn, stop func(), err error) {
		a, b := muxertest.Pipe(64 << 10)
		dialer, listener := muxed(t, a, muxer.Dialer, Config{}), muxed(t, b, muxer.Listener, Config{})
		stop = func() {
			_ = dialer.CloseWith(muxer.CodeRequested, "", 0)
			_ = listener.CloseWith(muxer.CodeRequested, "", 0)
		}
		if near, err = dialer.Open(t.Context()); err != nil {
			return nil, nil, stop, err
		}
		if _, err = near.Write([]byte{0}); err != nil { // the stream begins with it
			return nil, nil, stop, err
		}
		if far, err = listener.Accept(t.Context()); err != nil {
			return nil, nil, stop, err
		}
		_, err = io.ReadFull(far, make([]byte, 1))
		return near, far, stop, err
	})
}
