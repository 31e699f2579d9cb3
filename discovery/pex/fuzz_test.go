package pex

import (
	"testing"

	"github.com/switchyard-p2p/switchyard/internal/pexpb"
)

// FuzzFilter filters an answer as it arrives: each address that it keeps has an id, fits the place of its sender and
// reads back the same once encoded; kept and faulty addresses together are no more than there were.
func FuzzFilter(f *testing.F) {
	const id = "0123456789abcdef0123456789abcdef01234567"
	for _, a := range [][]*pexpb.PexAddress{
		{{Id: id, Ip: "1.2.3.4", Port: 26656}}, {{Id: id, Ip: "::1", Port: 1 << 31}},
		{{Id: id, Ip: "fe80::1%eth0", Port: 1}}, {{Id: "zz", Ip: "name.example", Port: 1}},
		{{Multiaddr: "/ip4/1.2.3.4/tcp/26656/mconn/" + id}},
		{{Multiaddr: "/ip4/1.2.3.4/udp/1/quic-v1/p2p/12D3KooWEHqHP2jvvHYJq9UfMXYPkRzgD3dUMs7Cj4hBbBWvJUSe"}},
		{{Multiaddr: "/dns/example.org/tcp/1/mconn/" + id}}, {{Multiaddr: "/memory/7/mconn/" + id}},
		{{Multiaddr: "mconn://" + id + "@1.2.3.4:5"}}, {{Multiaddr: id + "@1.2.3.4:5"}},
	} {
		for p := range byte(8) {
			f.Add(pexpb.EncodeResponse(a), p)
		}
	}
	f.Fuzz(func(t *testing.T, msg []byte, where byte) {
		m, _, err := pexpb.Decode(msg, maxTaken)
		if err != nil || m.GetResponse() == nil {
			return
		}
		in := m.GetResponse().GetAddresses()
		from := place{public: where&1 != 0, multiaddrs: where&2 != 0, memory: where&4 != 0}
		out, refused := filter(in, id, from)
		if len(out)+refused > len(in) {
			t.Fatalf("%d addresses and %d refused, of %d", len(out), refused, len(in))
		}
		for _, a := range out {
			if a.ID() == "" || a.ID() == id || !from.fits(a) {
				t.Fatalf("%s was taken", a)
			}
			w, ok := toWire(a, from)
			if !ok {
				continue
			}
			if again, ok := fromWire(w); !ok || again.ID() != a.ID() || !again.Multiaddr().Equal(a.Multiaddr()) ||
				again.Wire() != a.Wire() {
				t.Fatalf("%s is encoded as %v, which is read as %s (%v)", a, w, again, ok)
			}
		}
	})
}
