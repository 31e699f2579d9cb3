package crawl_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/discovery/crawl"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/comet"
	"github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/internal/pexpb"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// kind is what a node of a world is.
type kind int

const (
	honest    kind = iota
	dead           // told of, and nobody is there
	changed        // told of with a key that it no longer has
	elsewhere      // of another network
	liar           // tells of nodes that it has invented
	kinds
)

// invented is how many nodes the liars of a world have invented, together.
const invented = 1_000_000

// world is a network of real hosts in memory, which answer the questions of peer exchange as the test wants, and a
// machine to crawl them from.
type world struct {
	t       testing.TB
	net     *hosttest.Network
	kinds   []kind
	told    []transport.Address   // how others tell of each node
	answers [][]transport.Address // of each node
	liars   int
	mute    map[int]bool // those that do not answer
	spy     *spy
	wires   []handshake.Wire
	key     handshake.PublicKey
}

// newWorld makes a world of n nodes, of which one in a hundred, for each of shares, is of a kind. Node 0 is honest.
func newWorld(t testing.TB, n int, shares map[kind]int, o hosttest.Options) *world {
	t.Helper()
	w := &world{t: t, answers: make([][]transport.Address, n)}
	rng := rand.New(rand.NewPCG(7, 7))
	for range n {
		w.kinds = append(w.kinds, honest)
	}
	place := rng.Perm(n - 1)
	for k := honest + 1; k < kinds; k++ {
		for range n * shares[k] / 100 {
			w.kinds[1+place[0]] = k
			place = place[1:]
		}
	}
	o.Nodes, o.Stopped = n, true
	o.Channels = []muxer.Channel{{ID: crawl.ChannelID, Name: "/pex/1.0.0", MaxMessage: 64 << 10, SendQueue: 128 << 10}}
	o.Tune = func(n *hosttest.Node, c *host.Config) {
		if w.kinds[n.Index] == elsewhere {
			c.Network = "elsewhere"
		}
	}
	o.Services = func(n *hosttest.Node) ([]hosttest.Service, error) {
		return []hosttest.Service{func(ctx context.Context) error { return w.answer(ctx, n) }}, nil
	}
	w.net = hosttest.New(t, o)
	for i, node := range w.net.Nodes {
		a := node.Address()
		if w.kinds[i] == changed {
			a = fake(t, fmt.Sprintf("%040x", uint64(1)<<40+uint64(i)), node.IP())
		}
		w.told = append(w.told, a)
	}
	liars := 0
	for i := range w.answers {
		if w.kinds[i] == liar {
			for k := range 1000 {
				k += liars * 1000 % invented
				ip := netip.AddrFrom4([4]byte{30, byte(k >> 16), byte(k >> 8), byte(k)})
				w.answers[i] = append(w.answers[i], fake(t, fmt.Sprintf("%040x", uint64(2)<<40+uint64(k)), ip))
			}
			liars++
			continue
		}
		picks := map[int]bool{(i + 1) % n: true, (i + 2) % n: true, (i + 17) % n: true}
		for len(picks) < min(90, n/3) {
			picks[rng.IntN(n)] = true
		}
		for _, k := range slices.Sorted(maps.Keys(picks)) {
			w.answers[i] = append(w.answers[i], w.told[k])
		}
	}
	w.liars = liars
	// What only liars would tell, or nobody who is asked, others tell, too.
	for i := range w.answers {
		w.answers[0] = append(w.answers[0], w.told[i])
		if len(w.answers[0]) >= 240 {
			break
		}
	}
	w.answers[0] = slices.Compact(slices.SortedFunc(slices.Values(w.answers[0]), func(a, b transport.Address) int {
		return slices.Compare([]byte(a.String()), []byte(b.String()))
	}))
	for i, node := range w.net.Nodes {
		if w.kinds[i] != dead {
			node.Start()
		}
	}
	w.equip()
	return w
}

func fake(t testing.TB, id string, ip netip.Addr) transport.Address {
	t.Helper()
	a, err := transport.CometAddress(transport.NodeID(id), ip.String(), hosttest.Port)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// answer answers the questions that a node gets.
func (w *world) answer(ctx context.Context, n *hosttest.Node) error {
	for {
		e, err := n.Channels[0].Receive(ctx)
		if err != nil {
			return err
		}
		m, _, err := pexpb.Decode(e.Message, 1000)
		if err != nil || m.GetRequest() == nil {
			w.t.Errorf("%s was sent %v, %v", n.Name, m, err)
			continue
		}
		if w.mute[n.Index] {
			continue
		}
		var list []*pexpb.PexAddress
		for _, a := range w.answers[n.Index] {
			if a.Wire() == transport.WireLibp2p {
				list = append(list, &pexpb.PexAddress{Multiaddr: a.String()})
				continue
			}
			list = append(list, &pexpb.PexAddress{Id: string(a.ID()), Ip: a.Host(), Port: uint32(a.Port())})
		}
		n.Channels[0].TrySend(e.From, pexpb.EncodeResponse(list))
	}
}

// equip makes what a crawler needs.
func (w *world) equip() {
	w.t.Helper()
	var seed [handshake.SeedSize]byte
	seed[0] = 99
	key := handshake.NewIdentity(seed)
	w.key = key.Public()
	w.spy = &spy{Transport: w.net.Memory().NewTransport(memory.HostConfig{IP: netip.MustParseAddr("20.0.0.1")}),
		dials: map[string][]time.Time{}, open: map[netip.Addr]int{}}
	c, err := comet.New(comet.Config{Identity: key, Secure: func(ctx context.Context, conn net.Conn,
		id handshake.Identity, early []byte, check func(handshake.PublicKey) error) (comet.Secured, error) {
		s, err := secretconn.Handshake(ctx, conn, id, secretconn.Options{CheckKey: check, EarlyData: early})
		if err != nil {
			return comet.Secured{}, err
		}
		return comet.Secured{Reader: s, Binding: s.Binding,
			Mux: func(side muxer.Side, channels []muxer.Channel) (muxer.Session, error) {
				return mconn.New(s, side, channels, mconn.Config{})
			}}, nil
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	mux, err := yamux.New(yamux.Config{})
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := libp2p.New(libp2p.Config{Identity: key, Securities: []handshake.Security{noise.New()},
		Muxers: []muxer.StreamMuxer{mux}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.wires = []handshake.Wire{c, l}
}

func (w *world) config() crawl.Config {
	return crawl.Config{Transports: []transport.Transport{w.spy}, Wires: w.wires, Key: w.key, Network: "hosttest",
		Seeds: []transport.Address{w.net.Nodes[0].Address()}}
}

// crawl crawls to the end.
func (w *world) crawl(cfg crawl.Config) *crawl.Map {
	w.t.Helper()
	c, err := crawl.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.Run(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return c.Map()
}

// spy is the crawler's transport, which watches its manners.
type spy struct {
	*memory.Transport

	mu    sync.Mutex
	dials map[string][]time.Time // by IP
	open  map[netip.Addr]int
	most  int // links at once to one IP
}

func (s *spy) Dial(ctx context.Context, addr ma.Multiaddr) (transport.Conn, error) {
	a, err := transport.NewAddress(addr, "")
	if err != nil {
		return nil, err
	}
	ip, _ := a.IP()
	s.mu.Lock()
	s.dials[ip.String()] = append(s.dials[ip.String()], time.Now())
	s.mu.Unlock()
	c, err := s.Transport.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[ip]++
	s.most = max(s.most, s.open[ip])
	return &spied{ByteConn: c.(transport.ByteConn), over: sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open[ip]--
	})}, nil
}

type spied struct {
	transport.ByteConn
	over func()
}

func (s *spied) Close() error {
	s.over()
	return s.ByteConn.Close()
}

// checkManners checks the times between dials, the links to each IP, and that none is left.
func (s *spy) checkManners(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.most > 1 {
		t.Errorf("%d links to one IP at once", s.most)
	}
	for ip, n := range s.open {
		if n != 0 {
			t.Errorf("%d links to %s are left", n, ip)
		}
	}
	networks := map[netip.Prefix][]time.Time{}
	for text, times := range s.dials {
		for i := 1; i < len(times); i++ {
			if gap := times[i].Sub(times[i-1]); gap < 30*time.Second {
				t.Errorf("two dials to %s within %v", text, gap)
			}
		}
		p, _ := netip.MustParseAddr(text).Prefix(24)
		networks[p] = append(networks[p], times...)
	}
	for p, times := range networks {
		slices.SortFunc(times, time.Time.Compare)
		for i := 1; i < len(times); i++ {
			if gap := times[i].Sub(times[i-1]); gap < time.Second {
				t.Errorf("two dials to %s within %v", p, gap)
			}
		}
	}
}

// check checks that a map is what the world is.
func (w *world) check(m *crawl.Map) {
	w.t.Helper()
	byID := map[transport.NodeID]*crawl.Node{}
	for i := range m.Nodes {
		byID[m.Nodes[i].ID] = &m.Nodes[i]
	}
	want := map[kind]crawl.State{honest: crawl.Reachable, dead: crawl.Unreachable, changed: crawl.WrongKey,
		elsewhere: crawl.Elsewhere, liar: crawl.Reachable}
	wrong := 0
	for i, node := range w.net.Nodes {
		n := byID[w.told[i].ID()]
		switch {
		case n == nil:
			w.t.Errorf("%s is not on the map", node.Name)
		case n.State != want[w.kinds[i]] || n.Suspect != (w.kinds[i] == liar):
			wrong++
			w.t.Errorf("%s of kind %d is %s, suspect %v: %+v", node.Name, w.kinds[i], n.State, n.Suspect, n.Addresses)
		}
		if w.kinds[i] == changed {
			if n := byID[node.ID]; n == nil || n.State != crawl.Reachable {
				w.t.Errorf("%s was not found behind its old key: %+v", node.Name, n)
			}
		}
		if wrong > 5 {
			w.t.FailNow()
		}
	}
	tried := 0
	for _, n := range m.Nodes {
		if n.ID >= transport.NodeID(fmt.Sprintf("%040x", uint64(2)<<40)) &&
			n.ID < transport.NodeID(fmt.Sprintf("%040x", uint64(2)<<40+invented)) {
			if n.State == crawl.Unreachable {
				tried++
			} else if n.State != crawl.Untried {
				w.t.Errorf("an invented node is %s", n.State)
			}
		}
	}
	if tried != 64*w.liars {
		w.t.Errorf("%d invented nodes of %d liars were visited", tried, w.liars)
	}
	told := map[transport.NodeID]map[transport.NodeID]bool{}
	for _, e := range m.Edges {
		if told[e.From] == nil {
			told[e.From] = map[transport.NodeID]bool{}
		}
		told[e.From][e.To] = true
	}
	for i, node := range w.net.Nodes {
		if w.kinds[i] != honest && w.kinds[i] != changed {
			continue
		}
		expect := map[transport.NodeID]bool{}
		for _, a := range w.answers[i] {
			if a.ID() != node.ID {
				expect[a.ID()] = true
			}
		}
		if !maps.Equal(expect, told[node.ID]) {
			w.t.Errorf("%s told of %d nodes, the map has %d edges", node.Name, len(expect), len(told[node.ID]))
		}
	}
}
