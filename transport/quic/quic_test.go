package quic

import (
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/transport/transporttest"
)

func TestSuite(t *testing.T) {
	for _, listen := range []string{"/ip4/127.0.0.1/udp/0/quic-v1", "/ip6/::1/udp/0/quic-v1"} {
		t.Run(strings.Split(listen, "/")[2], func(t *testing.T) {
			transporttest.Run(t, func(t *testing.T) transporttest.Env {
				counting := &countingTLS{TLS: tls.New(tls.Config{})}
				env := Env{Identity: listenerKey, TLS: counting, RemoteKey: tls.RemoteKey,
					Resolver: transporttest.Names{}}
				listening, err := New(Config{}, env)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { listening.Close() })
				return transporttest.Env{
					Dialer: newTransport(t, Config{}, dialerKey), Listener: listening,
					Handshakes: func() int { return int(counting.shown.Load()) },
					Listen:     transporttest.Address(t, listen),
					Foreign:    transporttest.Address(t, "/ip4/127.0.0.1/tcp/4001"),
					Hangs:      transporttest.Address(t, "/dns/no-answer.example/udp/1/quic-v1"),
				}
			})
		})
	}
}

func TestConnect(t *testing.T) {
	a, b := pair(t, Config{})
	if a.key != publicOf(listenerKey) || b.key != publicOf(dialerKey) {
		t.Error("the keys are not those of the nodes")
	}
	if a.LocalMultiaddr().String() == "" || !a.RemoteMultiaddr().Equal(b.LocalMultiaddr()) {
		t.Errorf("addresses: %s-%s, %s-%s", a.LocalMultiaddr(), a.RemoteMultiaddr(), b.LocalMultiaddr(),
			b.RemoteMultiaddr())
	}
}
