package host

import (
	"cmp"
	"slices"
	"testing"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/transport"
)

// wireOnly is a wire that dials its own addresses.
type wireOnly struct {
	noWire
	name string
}

func (w wireOnly) CanDial(a transport.Address) bool { return a.Wire() == w.name }

// protocolOnly is a transport that dials addresses with a protocol.
type protocolOnly struct {
	noTransport
	code int
}

func (p protocolOnly) CanDial(m ma.Multiaddr) bool {
	_, err := m.ValueForProtocol(p.code)
	return err == nil
}

// Addresses are dialed in the order of wires, then of transports; where links move to QUIC, that comes before other
// addresses of its wire.
func TestRank(t *testing.T) {
	const id = "12D3KooWRuTppVZGE7qhanfsHfmzkWUZnnRbTxbgWYvKibij9niy"
	comet := "539ffc12a0ac78970dab31ae8cdcfdd4285b2162@10.0.0.1:26656"
	tcp, quic := "/ip4/10.0.0.1/tcp/26656/p2p/"+id, "/ip4/10.0.0.1/udp/26656/quic-v1/p2p/"+id
	c := Config{Wires: []handshake.Wire{wireOnly{name: transport.WireComet}, wireOnly{name: transport.WireLibp2p}},
		Transports: []transport.Transport{protocolOnly{code: ma.P_TCP}, protocolOnly{code: ma.P_QUIC_V1}}}
	for _, test := range []struct {
		move func(transport.Address) bool
		want []string
	}{
		{nil, []string{comet, tcp, quic}},
		{ToQUIC, []string{comet, quic, tcp}},
	} {
		c.MoveTo = test.move
		rank := func(text string) int {
			a, err := transport.ParseAddress(text)
			if err != nil {
				t.Fatal(err)
			}
			r, ok := c.rank(a)
			if !ok {
				t.Fatalf("nothing dials %s", text)
			}
			return r
		}
		got := []string{quic, tcp, comet}
		slices.SortFunc(got, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
		if !slices.Equal(got, test.want) {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
