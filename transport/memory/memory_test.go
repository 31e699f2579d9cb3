package memory_test

import (
	"net/netip"
	"testing"

	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/transport/memory"
	"github.com/switchyard-p2p/switchyard/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSuite(t *testing.T) {
	for _, kind := range []struct {
		name, listen, foreign string
		dialer, listener      netip.Addr
		conditions            memory.Conditions
	}{
		{name: "Number", listen: "/memory/0", foreign: "/ip4/10.0.0.1/tcp/1"},
		{name: "IPv4", listen: "/ip4/10.0.0.2/tcp/0", foreign: "/ip4/10.0.0.2/udp/1/quic-v1",
			dialer: netip.MustParseAddr("10.0.0.1"), listener: netip.MustParseAddr("10.0.0.2")},
		{name: "IPv6", listen: "/ip6/fd00::2/tcp/0",
			foreign: "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234",
			dialer:  netip.MustParseAddr("fd00::1"), listener: netip.MustParseAddr("fd00::2")},
		{name: "Delayed", listen: "/memory/0", foreign: "/ip4/10.0.0.1/tcp/1",
			conditions: memory.Conditions{Latency: 200_000, Jitter: 100_000}}, // 0.2 and 0.1 ms
	} {
		t.Run(kind.name, func(t *testing.T) {
			transporttest.Run(t, func(t *testing.T) transporttest.Env {
				n := memory.NewNetwork(memory.Config{Seed: 1, Conditions: kind.conditions})
				dialer := n.NewTransport(memory.HostConfig{IP: kind.dialer})
				away := n.NewTransport(memory.HostConfig{})
				hangs, err := away.Listen(t.Context(), transporttest.Address(t, "/memory/77"), nil)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { hangs.Close() })
				n.SetPair(dialer, away, memory.Conditions{Down: true})
				return transporttest.Env{
					Dialer:   dialer,
					Listener: n.NewTransport(memory.HostConfig{IP: kind.listener}),
					Listen:   transporttest.Address(t, kind.listen),
					Foreign:  transporttest.Address(t, kind.foreign),
					Hangs:    hangs.Addr(),
				}
			})
		})
	}
}
