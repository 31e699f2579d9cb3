package admin

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// fakeNode is a node without a network: dials end with dialErr, bans hold.
type fakeNode struct {
	key       handshake.PublicKey
	listening chan struct{}

	mu          sync.Mutex
	peers       []host.PeerInfo
	records     []peerstore.Record
	bans        []peerstore.Ban
	roles       map[transport.NodeID]peers.Role
	down        []peers.DownPeer
	quarantined map[transport.NodeID]time.Time
	banErr      error // of the disk
	dialErr     error
	dialWait    bool // dials wait for their context
	journal     host.Journal
}

const (
	idA = transport.NodeID("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	idB = transport.NodeID("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
)

func newFakeNode(t testing.TB) *fakeNode {
	t.Helper()
	key, err := handshake.NewEd25519Key(make([]byte, handshake.Ed25519KeySize))
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeNode{key: key, listening: make(chan struct{}),
		roles: map[transport.NodeID]peers.Role{}}
	f.peers = []host.PeerInfo{{
		ID: idA, PeerID: "12D3KooWx", Address: "/ip4/1.2.3.4/tcp/26656/mconn/" + string(idA), Wire: "comet",
		Transport: "tcp", Security: "secretconn",
		Muxer: "mconn", Moniker: "<b>alice</b>", Network: "net", Version: "0.40.0", Channels: []byte{0x00, 0x7e},
		Listen: []string{"1.2.3.4:26656"}, Trusted: true, Score: 7,
		Connected: time.Now().Add(-time.Minute),
		Stats:     muxer.Stats{SentBytes: 10, ReceivedBytes: 20, RTT: 1500 * time.Microsecond},
	}, {
		ID: idB, Inbound: true, Connected: time.Now(), Guest: true, PeerID: "12D3KooWy",
		Address: "/ip4/1.2.3.5/udp/4001/quic-v1", Wire: "libp2p", Transport: "quic",
		Security: "tls", Muxer: "quic", Version: "go-libp2p/0.51", Protocols: []string{"/ipfs/ping/1.0.0"},
		Listen: []string{"/ip4/1.2.3.5/udp/4001/quic-v1"},
	}}
	return f
}

func (f *fakeNode) node() Node {
	return Node{About: f, Links: linksOf{f}, Watch: f, Peers: f, Store: f}
}

func (f *fakeNode) Self() transport.NodeID         { return f.key.NodeID() }
func (f *fakeNode) PublicKey() handshake.PublicKey { return f.key }
func (f *fakeNode) Network() string                { return "net" }
func (f *fakeNode) Moniker() string                { return "me" }
func (f *fakeNode) WaitListening(ctx context.Context) error {
	select {
	case <-f.listening:
		return nil
	default:
		<-ctx.Done()
		return ctx.Err()
	}
}
func (f *fakeNode) ListenAddrs() []ma.Multiaddr {
	return []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/26656")}
}

func (f *fakeNode) Journal() *host.Journal { return &f.journal }

func (f *fakeNode) Tally() peers.Tally {
	return peers.Tally{MaxInbound: 40, MaxOutbound: 8, Guests: 16}
}

func (f *fakeNode) Ban(target peerstore.Target, until time.Time, reason string) error {
	if target.ID == f.Self() {
		return errors.New("ban: that is our own node id")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bans = append(f.bans, peerstore.Ban{Target: target, Until: until, Reason: reason})
	return f.banErr
}

func (f *fakeNode) Down() []peers.DownPeer { return f.down }

func (f *fakeNode) Quarantined() []transport.NodeID { return slices.Sorted(maps.Keys(f.quarantined)) }

func (f *fakeNode) Status(id transport.NodeID) (peers.Status, bool) {
	return peers.Status{Quarantined: f.quarantined[id], Reason: "another network"}, true
}

func (f *fakeNode) Add(a transport.Address, _ peerstore.Source) error {
	if a.ID() == f.Self() {
		return &host.DisconnectError{Code: muxer.CodeSelf, Reason: "that is our own address"}
	}
	return nil
}

func (f *fakeNode) SetRole(id transport.NodeID, r peers.Role) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Trusted && id == idB {
		return errors.New("no address of it is known")
	}
	f.roles[id] = r
	return nil
}

func (f *fakeNode) Unban(target peerstore.Target) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.bans)
	f.bans = slices.DeleteFunc(f.bans, func(b peerstore.Ban) bool { return b.Target == target })
	return len(f.bans) < n, nil
}

func (f *fakeNode) Banned(id transport.NodeID, ip netip.Addr) (peerstore.Ban, bool) {
	for _, b := range f.Bans(time.Now()) {
		if id != "" && b.Target.ID == id || b.Target.Prefix.IsValid() && b.Target.Prefix.Contains(ip) {
			return b, true
		}
	}
	return peerstore.Ban{}, false
}

func (f *fakeNode) Bans(time.Time) []peerstore.Ban {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.bans)
}

func (f *fakeNode) Get(id transport.NodeID) (peerstore.Record, bool) {
	i := slices.IndexFunc(f.records, func(r peerstore.Record) bool { return r.ID == id })
	if i < 0 {
		return peerstore.Record{}, false
	}
	return f.records[i], true
}

func (f *fakeNode) Remove(id transport.NodeID) bool {
	n := len(f.records)
	f.records = slices.DeleteFunc(f.records, func(r peerstore.Record) bool { return r.ID == id })
	return len(f.records) < n
}

func (f *fakeNode) Groups() *peerstore.Groups { return nil }

func (f *fakeNode) Buckets() peerstore.Buckets {
	return peerstore.Buckets{New: []int{3, 0}, Tried: []int{2}, Size: 64}
}

func (f *fakeNode) Clear(id transport.NodeID) bool {
	delete(f.quarantined, id)
	_, known := f.Get(id)
	return known
}

func (f *fakeNode) ClearBans(time.Time) {}

func (f *fakeNode) Stats() peerstore.Stats {
	return peerstore.Stats{Known: 5, Tried: 2, New: 3, Banned: len(f.Bans(time.Now()))}
}

func (f *fakeNode) Range(fn func(peerstore.Record) bool) {
	for _, r := range f.records {
		if !fn(r) {
			return
		}
	}
}

// linksOf holds the links of a fakeNode: Peers has another meaning there.
type linksOf struct{ f *fakeNode }

func (l linksOf) Peers() []host.PeerInfo {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	return slices.Clone(l.f.peers)
}

func (l linksOf) Dial(ctx context.Context, addrs ...transport.Address) (host.PeerInfo, error) {
	if l.f.dialWait {
		<-ctx.Done()
		return host.PeerInfo{}, ctx.Err()
	}
	return host.PeerInfo{ID: addrs[0].ID(), Address: addrs[0].String()}, l.f.dialErr
}

func (l linksOf) Channels() []host.ChannelTotals {
	return []host.ChannelTotals{{ID: 0, Name: "pex"}, {ID: 0x7e, Name: "chat", Dropped: 2, Refused: 1}}
}

func (l linksOf) Disconnect(id transport.NodeID, _ muxer.Code, _ string) {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	l.f.peers = slices.DeleteFunc(l.f.peers, func(p host.PeerInfo) bool { return p.ID == id })
}

func (l linksOf) WaitDown(context.Context, transport.NodeID) error { return nil }

// serve runs the API of a node on a free port until the test ends, and returns a client and the address.
func serve(t *testing.T, cfg Config, node Node) (*Client, string) {
	t.Helper()
	cfg.Address, cfg.Token = "127.0.0.1:0", testToken
	s, err := New(cfg, node, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	<-s.Listening()
	c, err := NewClient(s.Addr().String(), WithToken(testToken))
	if err != nil {
		t.Fatal(err)
	}
	return c, s.Addr().String()
}

// testToken is the token of every API that serve runs.
const testToken = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// ask sends a request as it is, with the token unless an Authorization is given, and returns the status and the body.
func ask(t *testing.T, method, url, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testToken)
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b), answer.Header
}
