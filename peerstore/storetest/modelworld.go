package storetest

import (
	"encoding/base32"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/mr-tron/base58"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A world is what a model test plays in.
type world struct {
	name   string
	limits peerstore.Limits
	peers  int // node ids there are
	groups int // public networks there are
	run    int // operations on one store
	reopen int // operations between two times that the store is opened again, on average
	// operations between checks of the whole store; in between the model checks the peers that an operation concerns,
	// and a few others
	every int
	index int // and between looks at the store's indexes, see Factory.Check
	part  int // in ten of all operations
	// groups and sources have more peers than they may, so that only the store knows which it has no place for; the
	// model then checks that it was allowed to drop them
	crowded bool
}

var worlds = []world{
	{
		name: "small", limits: peerstore.Limits{MaxPeers: 25, MaxAddresses: 3, MaxBans: 8},
		peers: 40, groups: 4, run: 10_000, every: 4, index: 1, reopen: 200, part: 7,
	}, {
		name: "crowded", limits: peerstore.Limits{MaxPeers: 420, MaxAddresses: 3, MaxBans: 30},
		peers: 450, groups: 2, run: 20_000, every: 25, index: 5, reopen: 2000, part: 2, crowded: true,
	}, {
		name: "large", limits: peerstore.Limits{MaxPeers: 5000, MaxAddresses: 4, MaxBans: 300},
		peers: 7000, groups: 60, run: 100_000, every: 10_000, index: 10_000, reopen: 10_000, part: 1, crowded: true,
	},
}

// inputs choose the arguments of operations at random.
type inputs struct {
	rules
	w *world
	m mix
}

type mix struct{ *rand.Rand }

func newMix(seed uint64) mix { return mix{rand.New(rand.NewPCG(seed, seed))} }

// nodeOf returns node n of a model: its id, and how an address names it after the port, on CometBFT's wire and on
// libp2p's ("" if it has none). Most have 40-hex ids without a known key, some have an ed25519 key and so both forms,
// some the peer id of a longer key.
func nodeOf(n int) (id transport.NodeID, comet, p2p string) {
	switch key := [32]byte{byte(n), byte(n >> 8), 1}; n % 8 {
	case 5:
		id = transport.NodeID(base58.Encode(append([]byte{0x12, 0x20}, key[:]...)))
		return id, "", "/p2p/" + string(id)
	case 6:
		id = transport.NodeIDFromEd25519(key[:])
		return id, "/mconn/" + string(id), "/p2p/" + transport.PeerIDFromEd25519(key[:])
	}
	return ID(n), "/mconn/" + string(ID(n)), ""
}

// modelAddresses is how many addresses each node of a model has.
const modelAddresses = 6

// addressOf returns address k of node n in a world. They are of every sort.
func (w *world) addressOf(n, k int) transport.Address {
	_, comet, p2p := nodeOf(n)
	group := n % w.groups
	if w.crowded && n%4 > 0 { // most of them in one
		group = 0
	}
	port := []int{26656, 4001, 1 + n%5, 26656}[k%4]
	host := fmt.Sprintf("/ip4/11.%d.%d.%d/tcp/%d", group, n>>8, n&255, port)
	switch sort := (7*n + 3*k) % 24; {
	case k == 0 && sort > 6: // the first ones are public as a rule
	case sort == 0:
		host = fmt.Sprintf("/ip6/2600:%x::%x/tcp/%d", 1+n%2, n, port)
	case sort == 1:
		host = fmt.Sprintf("/dns/n%d.example%d.com/tcp/%d", n, n%3, port)
	case sort == 2:
		onion := base32.StdEncoding.EncodeToString([]byte(fmt.Sprintf("%035d", n)))
		host = fmt.Sprintf("/onion3/%s:%d", strings.ToLower(onion), port)
	case sort == 3:
		host = fmt.Sprintf("/ip4/10.0.%d.%d/tcp/%d", n>>8, n&255, port)
	case sort == 4:
		host = fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", 1+n)
	case sort == 5: // an IPv4 address within an IPv6 address
		host = fmt.Sprintf("/ip6/64:ff9b::b%02x:%x/tcp/%d", group, n, port)
	case sort == 6:
		host = fmt.Sprintf("/ip4/192.0.2.%d/tcp/%d", n&255, port) // reserved
	case sort == 7:
		host = fmt.Sprintf("/dns4/n%d.lan/tcp/%d", n, port)
	case sort < 12 && p2p != "":
		return parse(fmt.Sprintf("/ip4/11.%d.%d.%d/udp/%d/quic-v1%s", group, n>>8, n&255, port, p2p))
	}
	if comet == "" || p2p != "" && k%2 == 1 {
		return parse(host + p2p)
	}
	return parse(host + comet)
}

// source returns who reports an address. A few report most.
func (m *inputs) source() peerstore.Source {
	s := peerstore.Source{Kind: []string{"pex", "pex", "pex", "inbound", "dns", "file",
		"a kind that is longer than sixteen bytes"}[m.m.IntN(7)]}
	if m.m.IntN(12) == 0 {
		s.Kind = []string{peerstore.SourceConfig, peerstore.SourceStatic}[m.m.IntN(2)]
	}
	teller := m.m.IntN(min(m.w.peers, 100))
	if m.w.crowded && m.m.IntN(4) > 0 { // one of them tells of most
		teller = 0
	}
	if m.m.IntN(8) > 0 {
		s.From, _, _ = nodeOf(teller)
	}
	switch m.m.IntN(8) {
	case 0: // not linked to us
	case 1:
		s.IP = netip.AddrFrom4([4]byte{10, 1, 1, byte(teller)})
	case 2:
		s.IP = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case 3:
		s.IP = netip.MustParseAddr(fmt.Sprintf("::ffff:12.%d.0.1", teller%6))
	default:
		s.IP = netip.AddrFrom4([4]byte{12, byte(teller % 6), 0, 1})
	}
	return s
}

// kept returns a source as the store keeps it.
func kept(s peerstore.Source) peerstore.Source {
	s.Kind = s.Kind[:min(len(s.Kind), 16)]
	s.IP = s.IP.Unmap()
	return s
}
