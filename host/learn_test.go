package host

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// What a peer says of its addresses is kept for the wires that it speaks, bounded, and only where it makes sense.
func TestLearnWhatPeersClaim(t *testing.T) {
	key := testKey(1).Public()
	mconn, p2p := "/mconn/"+string(key.NodeID()), "/p2p/"+key.PeerID()
	both := []string{"comet", "libp2p", "carrier-pigeon"}
	var many, manyWant []string
	for i := range 20 {
		where := fmt.Sprintf("/ip4/9.9.9.%d/tcp/1", i)
		many, manyWant = append(many, where), append(manyWant, where+mconn, where+p2p)
	}
	for name, c := range map[string]struct {
		from     string
		listen   []string
		wires    []string
		out      bool // we dialed it
		confirms bool
		guest    bool
		want     []string
	}{
		"comet": {listen: []string{"tcp://9.9.9.9:5"}, want: []string{"/ip4/9.9.9.9/tcp/5" + mconn}},
		"everywhere": {listen: []string{"0.0.0.0:5", "tcp://[::]:6"},
			want: []string{"/ip4/90.0.1.1/tcp/5" + mconn, "/ip4/90.0.1.1/tcp/6" + mconn}},
		"v6": {listen: []string{"[2a00::1]:5"}, want: []string{"/ip6/2a00::1/tcp/5" + mconn}},
		"two wires": {listen: []string{"/ip4/9.9.9.9/tcp/5"}, wires: both,
			want: []string{"/ip4/9.9.9.9/tcp/5" + mconn, "/ip4/9.9.9.9/tcp/5" + p2p}},
		"quic is no comet": {listen: []string{"/ip4/9.9.9.9/udp/5/quic-v1"}, wires: both,
			want: []string{"/ip4/9.9.9.9/udp/5/quic-v1" + p2p}},
		"names the node": {listen: []string{"/ip4/9.9.9.9/tcp/5" + p2p}, wires: both[1:],
			want: []string{"/ip4/9.9.9.9/tcp/5" + p2p}},
		"names another": {listen: []string{"/ip4/9.9.9.9/tcp/5/p2p/" + testKey(2).Public().PeerID()},
			wires: both},
		"names, private, nonsense": {listen: []string{"example.com:5", "/dns/example.com/tcp/5", "/ip4/10.0.0.1/tcp/5",
			"/ip4/127.0.0.1/tcp/5", "192.168.0.1:5", "/ip4/224.0.0.1/tcp/5", "/ip4/0.0.0.0/tcp/5", "/ip4/9.9.9.9/tcp/0",
			"9.9.9.9:0", "x", ""}, wires: both},
		"at home": {from: "192.168.0.2", listen: []string{"192.168.0.1:5"},
			want: []string{"/ip4/192.168.0.1/tcp/5" + mconn}},
		"bounded":           {listen: many, wires: both, want: manyWant[:maxClaims]},
		"dialed over comet": {out: true, listen: []string{"9.9.9.9:5"}},
		"dialed over libp2p": {out: true, confirms: true, wires: both[1:], listen: []string{"/ip4/9.9.9.9/tcp/5"},
			want: []string{"/ip4/9.9.9.9/tcp/5" + p2p}},
		"guest": {guest: true, wires: both, listen: []string{"/ip4/9.9.9.9/tcp/5"}},
	} {
		h, _ := newTestHost(t, testConfig())
		side := muxer.Listener
		if c.out {
			side = muxer.Dialer
		}
		l, _ := testLink(h, 1, side, c.confirms)
		l.shake.Wire = transport.WireComet
		info := l.shake.Remote
		info.Listen, info.Wires, info.Guest = c.listen, c.wires, c.guest
		l.remote.Store(&info)
		if c.from != "" {
			l.ip = netip.MustParseAddr(c.from)
		}
		l.learn()
		var got []string
		for _, a := range h.peers.Addresses(l.peer) {
			got = append(got, a.String())
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: learned %v, want %v", name, got, c.want)
		}
	}
}
