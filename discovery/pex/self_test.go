package pex

import (
	"testing"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

// everywhere is a node that listens on all interfaces.
type everywhere struct{ node }

func (everywhere) SelfAddresses() (out []transport.Address) {
	for _, ip := range []string{"127.0.0.1", "192.168.1.2", "8.8.4.4"} {
		a, err := transport.ParseAddress("0123456789abcdef0123456789abcdef01234567@" + ip + ":26656")
		if err != nil {
			panic(err)
		}
		out = append(out, a)
	}
	return out
}

func (everywhere) Advertise(transport.NodeID, int) []transport.Address { return nil }

// A peer gets those of our own addresses that mean something where it is.
func TestOwnAddresses(t *testing.T) {
	for address, want := range map[string]int{"/ip4/127.0.0.1/tcp/5": 3, "/ip4/192.168.1.3/tcp/5": 2,
		"/ip4/9.9.9.9/tcp/5": 1, "/dns/a.example/tcp/5": 3} {
		where := placeOf(host.PeerInfo{Address: address, Transport: "tcp"})
		if got := choose(everywhere{}, "x", where); len(got) != want {
			t.Errorf("a peer at %s gets %v", address, got)
		}
	}
}
