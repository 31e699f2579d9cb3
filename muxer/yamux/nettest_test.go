package yamux

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// TestNetConn runs the suite of net.Conn over streams.
func TestNetConn(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"plain":           func(c net.Conn) net.Conn { return c },
		"written at once": func(c net.Conn) net.Conn { return newNowConn(c) },
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (near, far net.Conn, stop func(), err error) {
				a, b := muxertest.Pipe(64 << 10)
				m, err := New(Config{})
				if err != nil {
					return nil, nil, nil, err
				}
				dialer, err := m.New(wrap(a), muxer.Dialer)
				if err != nil {
					return nil, nil, nil, err
				}
				listener, err := m.New(wrap(b), muxer.Listener)
				if err != nil {
					return nil, nil, nil, err
				}
				stop = func() {
					_ = dialer.Close()
					_ = listener.Close()
				}
				if near, err = dialer.Open(t.Context()); err == nil {
					far, err = listener.Accept()
				}
				return near, far, stop, err
			})
		})
	}
}
