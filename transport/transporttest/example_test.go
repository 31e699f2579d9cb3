package transporttest_test

import (
	"testing"

	"github.com/switchyard-p2p/switchyard/transport/tcp"
	"github.com/switchyard-p2p/switchyard/transport/transporttest"
)

// The test of a transport: what it must do, in subtests.
func Example() {
	_ = func(t *testing.T) { // func TestSuite(t *testing.T)
		transporttest.Run(t, func(t *testing.T) transporttest.Env {
			tr := tcp.New(tcp.Config{Resolver: transporttest.Names{}})
			return transporttest.Env{
				Dialer: tr, Listener: tr,
				Listen:  transporttest.Address(t, "/ip4/127.0.0.1/tcp/0"),
				Foreign: transporttest.Address(t, "/ip4/127.0.0.1/udp/4001/quic-v1"),
				Hangs:   transporttest.Address(t, "/dns/no-answer.example/tcp/1"),
			}
		})
	}
	// Output:
}
