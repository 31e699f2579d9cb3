package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	watchers    []chan host.Event
	watched     chan struct{} // gets one for each watcher
}

const (
	idA = transport.NodeID("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	idB = transport.NodeID("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
)

func newFakeNode(t *testing.T) *fakeNode {
	t.Helper()
	key, err := handshake.NewEd25519Key(make([]byte, handshake.Ed25519KeySize))
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeNode{key: key, listening: make(chan struct{}), watched: make(chan struct{}, 1000),
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

func (f *fakeNode) Events(ctx context.Context) <-chan host.Event {
	w := make(chan host.Event, 16)
	f.mu.Lock()
	f.watchers = append(f.watchers, w)
	f.mu.Unlock()
	f.watched <- struct{}{}
	return w
}

func (f *fakeNode) emit(e host.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.watchers {
		w <- e
	}
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

func (l linksOf) Dial(ctx context.Context, a transport.Address) (host.PeerInfo, error) {
	if l.f.dialWait {
		<-ctx.Done()
		return host.PeerInfo{}, ctx.Err()
	}
	return host.PeerInfo{ID: a.ID(), Address: a.String()}, l.f.dialErr
}

func (l linksOf) Disconnect(id transport.NodeID, _ muxer.Code, _ string) {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	l.f.peers = slices.DeleteFunc(l.f.peers, func(p host.PeerInfo) bool { return p.ID == id })
}

// serve runs the API of a node on a free port until the test ends, and returns a client and the address.
func serve(t *testing.T, cfg Config, node Node) (*Client, string) {
	t.Helper()
	cfg.Address = "127.0.0.1:0"
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
	c, err := NewClient(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return c, s.Addr().String()
}

// ask sends a request as it is and returns the status and the body.
func ask(t *testing.T, method, url, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
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

// The keys are a contract that users script against.
func TestJSONKeys(t *testing.T) {
	f := newFakeNode(t)
	f.records = []peerstore.Record{{ID: idA,
		Addresses: []peerstore.AddressRecord{{Source: peerstore.Source{Kind: "pex", From: idB},
			LastSuccess: time.Now()}}}}
	_, addr := serve(t, Config{Version: "v1"}, f.node())

	keys := func(v any) []string {
		var out []string
		for k := range v.(map[string]any) {
			out = append(out, k)
		}
		slices.Sort(out)
		return out
	}
	get := func(path string) any {
		code, body, header := ask(t, "GET", "http://"+addr+path, "")
		if code != 200 || header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %d %s", path, code, body)
		}
		var v any
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	status := get("/v1/status").(map[string]any)
	want := []string{"down", "goroutines", "listen", "moniker", "network", "node_id", "peer_id", "peers", "quarantined",
		"store", "uptime_s", "version"}
	if got := keys(status); !slices.Equal(got, want) {
		t.Errorf("status has %v, want %v", got, want)
	}
	want = []string{"down", "guests", "inbound", "outbound", "trusted"}
	if got := keys(status["peers"]); !slices.Equal(got, want) {
		t.Errorf("status.peers has %v, want %v", got, want)
	}
	want = []string{"banned", "known", "new", "quarantined", "tried"}
	if got := keys(status["store"]); !slices.Equal(got, want) {
		t.Errorf("status.store has %v, want %v", got, want)
	}
	peer := get("/v1/peers").([]any)[0]
	for _, k := range []string{"node_id", "peer_id", "address", "direction", "wire", "transport", "security", "muxer",
		"moniker", "network", "channels", "protocols", "listen", "trusted", "guest", "score",
		"connected_s", "sent_bytes", "received_bytes", "rtt_ms", "ip", "port", "app_version", "block_version",
		"p2p_version", "tx_index", "rpc_address", "remote_channels", "remote_wires", "also", "send_rate",
		"receive_rate", "channel_stats"} {
		if _, ok := peer.(map[string]any)[k]; !ok {
			t.Errorf("a peer has no %s", k)
		}
	}
	if got := peer.(map[string]any)["channels"]; len(got.([]any)) != 2 || got.([]any)[1] != 126.0 {
		t.Errorf("channels are %v", got)
	}
	known := get("/v1/store?limit=1").([]any)[0].(map[string]any)
	if known["tried"] != true || known["addresses"].([]any)[0].(map[string]any)["from"] != string(idB) {
		t.Errorf("known peer %v", known)
	}
}

func TestClientReadsWhatTheServerTells(t *testing.T) {
	f := newFakeNode(t)
	for range 300 {
		f.records = append(f.records, peerstore.Record{ID: idA})
	}
	c, _ := serve(t, Config{Version: "v1"}, f.node())
	ctx := t.Context()

	s, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if s.NodeID != f.Self() || s.PeerID != f.key.PeerID() || s.Network != "net" || s.Moniker != "me" ||
		s.Version != "v1" || len(s.Listen) != 1 ||
		s.Peers != (PeerCounts{Inbound: 1, Outbound: 1, Trusted: 1, Guests: 1}) ||
		s.Store != (StoreCounts{Known: 5, Tried: 2, New: 3}) || s.Goroutines == 0 {
		t.Errorf("status %+v", s)
	}
	peers, err := c.Peers(ctx)
	if err != nil || len(peers) != 2 {
		t.Fatalf("peers %v, %v", peers, err)
	}
	if p := peers[0]; p.NodeID != idA || p.Direction != Outbound || p.RTT != 1.5 || p.Sent != 10 || p.Received != 20 ||
		p.Connected < 60 || p.Moniker != "<b>alice</b>" {
		t.Errorf("peer %+v", p)
	}
	if p := peers[0]; p.Guest || p.Protocols == nil || len(p.Protocols) != 0 {
		t.Errorf("a peer over comet: %+v", p)
	}
	if p := peers[1]; p.Direction != Inbound || !p.Guest || p.Wire != "libp2p" || p.Transport != "quic" ||
		p.Security != "tls" || p.Muxer != "quic" ||
		!slices.Equal(p.Protocols, []string{"/ipfs/ping/1.0.0"}) || p.Network != "" {
		t.Errorf("a guest: %+v", p)
	}
	for limit, want := range map[int]int{0: 100, 7: 7, 10_000: 300} {
		if got, err := c.Store(ctx, limit); err != nil || len(got) != want {
			t.Errorf("limit %d gave %d, %v", limit, len(got), err)
		}
	}
	for _, limit := range []int{-1, 10_001} {
		if _, err := c.Store(ctx, limit); statusOf(err) != 400 {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

func statusOf(err error) int {
	var e *APIError
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

func TestHealth(t *testing.T) {
	f := newFakeNode(t)
	c, _ := serve(t, Config{}, f.node())
	if err := c.Healthy(t.Context()); statusOf(err) != 503 {
		t.Errorf("before the node listens: %v", err)
	}
	close(f.listening)
	if err := c.Healthy(t.Context()); err != nil {
		t.Errorf("once it listens: %v", err)
	}
}

func TestDial(t *testing.T) {
	f := newFakeNode(t)
	c, _ := serve(t, Config{}, f.node())
	p, err := c.Dial(t.Context(), string(idB)+"@10.0.0.1:26656")
	if err != nil || p.NodeID != idB || p.Address != "/ip4/10.0.0.1/tcp/26656/mconn/"+string(idB) {
		t.Errorf("%+v, %v", p, err)
	}
	const peerID = "12D3KooWLvko4PgHEdUNMeLxQoueeDdWeX6gH62MPwmKhqfgfm5Q"
	for _, addr := range []string{"/ip4/10.0.0.1/tcp/26656/p2p/" + peerID,
		"/ip4/10.0.0.1/udp/26656/quic-v1/p2p/" + peerID} {
		if p, err := c.Dial(t.Context(), addr); err != nil || p.Address != addr ||
			p.NodeID != "3fff8ce1b4ba4011be921f1442e1dacb80df4c63" {
			t.Errorf("dial %s: %+v, %v", addr, p, err)
		}
	}
	for _, bad := range []string{"", "nonsense", "10.0.0.1:26656", "/ip4/10.0.0.1/udp/26656/quic-v1"} {
		if _, err := c.Dial(t.Context(), bad); statusOf(err) != 400 {
			t.Errorf("dial %q: %v", bad, err)
		}
	}
	f.dialErr = &host.DisconnectError{Code: muxer.CodeWrongNetwork, Reason: "they are on other-net"}
	_, err = c.Dial(t.Context(), string(idB)+"@10.0.0.1:26656")
	var e *APIError
	if !errors.As(err, &e) || e.Status != 502 || e.Reason == nil || e.Reason.Code != "wrong-network" ||
		!strings.Contains(e.Message, "they are on other-net") {
		t.Errorf("refused dial: %+v", err)
	}
}

func TestDisconnect(t *testing.T) {
	c, _ := serve(t, Config{}, newFakeNode(t).node())
	if err := c.Disconnect(t.Context(), idA); err != nil {
		t.Error(err)
	}
	if err := c.Disconnect(t.Context(), idA); statusOf(err) != 404 {
		t.Errorf("twice: %v", err)
	}
	if err := c.Disconnect(t.Context(), "x"); statusOf(err) != 400 {
		t.Errorf("bad id: %v", err)
	}
}

func TestBans(t *testing.T) {
	f := newFakeNode(t)
	c, _ := serve(t, Config{}, f.node())
	ctx := t.Context()
	for _, target := range []string{string(idA), "192.0.2.1", "10.0.0.0/8", "2001:db8::/32", "2001:db8::1"} {
		b, err := c.Ban(ctx, target, time.Hour, "spam")
		if err != nil || b.Target != target || b.Until.IsZero() {
			t.Fatalf("ban %s: %+v, %v", target, b, err)
		}
		if list, err := c.Bans(ctx); err != nil || len(list) != 1 || list[0].Target != target ||
			list[0].Reason != "spam" {
			t.Errorf("bans %+v, %v", list, err)
		}
		if err := c.Unban(ctx, target); err != nil {
			t.Errorf("unban %s: %v", target, err)
		}
		if err := c.Unban(ctx, target); statusOf(err) != 404 {
			t.Errorf("unban %s twice: %v", target, err)
		}
	}
	if b, err := c.Ban(ctx, string(idA), 0, ""); err != nil || !b.Until.IsZero() {
		t.Errorf("for ever: %+v, %v", b, err)
	}
	for _, target := range []string{"", "x", "1.2.3.4/99", string(f.Self())} {
		if _, err := c.Ban(ctx, target, 0, ""); statusOf(err) != 400 {
			t.Errorf("ban %q: %v", target, err)
		}
	}
	if _, err := c.Ban(ctx, string(idB), -time.Hour, ""); statusOf(err) != 400 {
		t.Errorf("a ban that is over: %v", err)
	}
	f.banErr = errors.New("disk full")
	if _, err := c.Ban(ctx, "10.0.0.0/8", 0, ""); statusOf(err) != 500 || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("a ban that is not written: %v", err)
	}
}

// All bans are listed, as many as /v1/status counts.
func TestMissingPeers(t *testing.T) {
	f := newFakeNode(t)
	until := time.Now().Add(time.Hour).Round(time.Second).UTC()
	f.quarantined = map[transport.NodeID]time.Time{idB: until}
	a, err := transport.ParseAddress(string(idA) + "@1.2.3.4:26656")
	if err != nil {
		t.Fatal(err)
	}
	f.down = []peers.DownPeer{{ID: idA, Addresses: []transport.Address{a}, Failures: 3, LastError: "refused",
		NextTry: until, Ban: peerstore.Ban{Target: peerstore.Target{ID: idA}, Reason: "spam"}}}
	for range 2 * maxAway {
		f.down = append(f.down, peers.DownPeer{ID: idB})
	}
	c, _ := serve(t, Config{}, f.node())
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Peers.Down != len(f.down) || len(s.Down) != maxAway || s.Store.Quarantined != 1 {
		t.Errorf("%+v, %d down, %+v", s.Peers, len(s.Down), s.Store)
	}
	want := Down{NodeID: idA, Addresses: []string{a.String()}, Failures: 3, LastError: "refused", NextTry: until,
		Ban: &Ban{Target: string(idA), Reason: "spam"}}
	if got := s.Down[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("down: %+v, want %+v", got, want)
	}
	if want := []Quarantined{{idB, until, "another network"}}; !slices.Equal(s.Quarantined, want) {
		t.Errorf("quarantined: %+v, want %+v", s.Quarantined, want)
	}
}

func TestProtect(t *testing.T) {
	f := newFakeNode(t)
	c, address := serve(t, Config{}, f.node())
	for _, tt := range []struct {
		peer string
		role peers.Role
	}{
		{string(idA), peers.Role{Trusted: true, Private: true}},
		{string(idA) + "@1.2.3.4:26656", peers.Role{Unconditional: true}},
	} {
		want := Role{string(idA), tt.role.Trusted, tt.role.Unconditional, tt.role.Private}
		given := want
		given.Peer = tt.peer
		if got, err := c.Protect(t.Context(), given); err != nil || got != want || f.roles[idA] != tt.role {
			t.Errorf("protect %s: %+v, %v; the node has %+v", tt.peer, got, err, f.roles[idA])
		}
	}
	if err := c.Unprotect(t.Context(), idA); err != nil || f.roles[idA] != (peers.Role{}) {
		t.Errorf("unprotect: %v; the node has %+v", err, f.roles[idA])
	}

	_, err := c.Protect(t.Context(), Role{Peer: string(f.Self()) + "@1.2.3.4:1", Trusted: true})
	var refused *APIError
	if !errors.As(err, &refused) || refused.Status != http.StatusConflict || refused.Reason == nil ||
		refused.Reason.Code != "self" {
		t.Errorf("our own address: %+v", err)
	}
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/protect", `{"peer":"` + string(idB) + `","trusted":true}`, http.StatusConflict},
		{"POST", "/v1/protect", `{"peer":"` + string(idA) + `"}`, http.StatusBadRequest},
		{"POST", "/v1/protect", `{"peer":"/ip4/1.2.3.4/tcp/1","trusted":true}`, http.StatusBadRequest},
		{"POST", "/v1/protect", `{"peer":"nobody","trusted":true}`, http.StatusBadRequest},
		{"DELETE", "/v1/protect/nobody", "", http.StatusBadRequest},
	} {
		status, body, _ := ask(t, tt.method, "http://"+address+tt.path, tt.body)
		if status != tt.status || !strings.HasPrefix(body, `{"error":"`) {
			t.Errorf("%s %s %s: %d %s, want %d", tt.method, tt.path, tt.body, status, body, tt.status)
		}
	}
}

// TestHungNode calls a node that accepts connections and never answers.
func TestHungNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := NewClient("127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		c.http.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			return ours, nil
		}}
		began := time.Now()
		for name, call := range map[string]func() error{
			"status":  func() error { _, err := c.Status(t.Context()); return err },
			"dial":    func() error { _, err := c.Dial(t.Context(), "x"); return err },
			"publish": func() error { _, err := c.Publish(t.Context(), "", []byte("x"), 0); return err },
			"events":  func() error { return c.Events(t.Context(), nil, nil) },
		} {
			var silent *UnreachableError
			if err := call(); !errors.As(err, &silent) || silent.Err != errSilent {
				t.Errorf("%s: %v", name, err)
			}
		}
		if took := time.Since(began); took > 4*callTimeout+dialTimeout {
			t.Errorf("four calls ended after %v", took)
		}
	})
}

func TestAllBans(t *testing.T) {
	f := newFakeNode(t)
	c, _ := serve(t, Config{}, f.node())
	for n := range 12_000 {
		ip := netip.AddrFrom4([4]byte{11, 0, byte(n >> 8), byte(n)})
		f.bans = append(f.bans, peerstore.Ban{Target: peerstore.Target{Prefix: netip.PrefixFrom(ip, 32)}})
	}
	list, err := c.Bans(t.Context())
	status, statusErr := c.Status(t.Context())
	if err != nil || statusErr != nil || len(list) != len(f.bans) || status.Store.Banned != len(list) {
		t.Errorf("%d bans are listed, %d counted, %d hold: %v, %v",
			len(list), status.Store.Banned, len(f.bans), err, statusErr)
	}
}

func TestEvents(t *testing.T) {
	f := newFakeNode(t)
	c, _ := serve(t, Config{}, f.node())
	stop := errors.New("enough")
	var got []Event
	err := c.Events(t.Context(), func() {
		<-f.watched
		f.emit(host.Event{Kind: host.EventUp, ID: idA, Time: time.Unix(1, 0), Duration: time.Millisecond})
		f.emit(host.Event{Kind: host.EventDialFailed, ID: idB, Stage: "security",
			Reason: &host.DisconnectError{Code: muxer.CodeAuthFailed, Remote: true, Reason: "line\nbreak"}})
	}, func(e Event) error {
		if got = append(got, e); len(got) == 2 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if got[0].Kind != host.EventUp || got[0].NodeID != idA || got[0].Duration != 1 || got[0].Reason != nil {
		t.Errorf("%+v", got[0])
	}
	if r := got[1].Reason; r == nil || r.Code != "auth-failed" || !r.Remote ||
		!strings.Contains(r.Text, "line\nbreak") {
		t.Errorf("%+v", got[1])
	}
}

func TestMetricsAndPage(t *testing.T) {
	n := newFakeNode(t).node()
	_, addr := serve(t, Config{}, n)
	if code, _, _ := ask(t, "GET", "http://"+addr+"/metrics", ""); code != 404 {
		t.Errorf("metrics without a registry: %d", code)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "test_total"}))
	n.Metrics = reg
	_, addr = serve(t, Config{Profile: true}, n)
	if code, body, _ := ask(t, "GET", "http://"+addr+"/metrics", ""); code != 200 ||
		!strings.Contains(body, "test_total 0") {
		t.Errorf("metrics: %d %s", code, body)
	}
	if code, body, h := ask(t, "GET", "http://"+addr+"/", ""); code != 200 || !strings.Contains(body, "Switchyard") ||
		!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("page: %d %v", code, h)
	}
	if code, _, _ := ask(t, "GET", "http://"+addr+"/debug/pprof/", ""); code != 200 {
		t.Errorf("pprof: %d", code)
	}
}

func TestBadRequests(t *testing.T) {
	_, addr := serve(t, Config{}, newFakeNode(t).node())
	for _, c := range []struct {
		name, method, path, body string
		header                   []string
		want                     int
	}{
		{"no such path", "GET", "/v1/nothing", "", nil, 404},
		{"wrong method", "GET", "/v1/dial", "", nil, 405},
		{"wrong method", "POST", "/v1/status", "", nil, 405},
		{"wrong method", "POST", "/v1/ban/10.0.0.1", "", nil, 405},
		{"no profiles unless asked for", "GET", "/debug/pprof/", "", nil, 404},
		{"no body", "POST", "/v1/dial", "", nil, 400},
		{"not JSON", "POST", "/v1/dial", "x", nil, 400},
		{"unknown key", "POST", "/v1/dial", `{"adress":"x"}`, nil, 400},
		{"two values", "POST", "/v1/ban", `{"target":"1.2.3.4"} {}`, nil, 400},
		{"wrong type", "POST", "/v1/ban", `{"target":7}`, nil, 400},
		{"long body", "POST", "/v1/ban", `{"reason":"` + strings.Repeat("x", maxBody) + `"}`, nil, 413},
		{"bad duration", "POST", "/v1/ban", `{"target":"1.2.3.4","for":"long"}`, nil, 400},
		{"bad limit", "GET", "/v1/store?limit=x", "", nil, 400},
		{"rebound name", "GET", "/v1/status", "", []string{"Host", "evil.example"}, 403},
		{"rebound name", "GET", "/v1/status", "", []string{"Host", "evil.example:26660"}, 403},
		{"rebound name", "GET", "/", "", []string{"Host", "127.0.0.1.evil.example"}, 403},
		{"other origin", "POST", "/v1/ban", `{"target":"1.2.3.4"}`, []string{"Origin", "http://evil.example"}, 403},
		{"other site", "POST", "/v1/ban", `{"target":"1.2.3.4"}`, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"other origin", "DELETE", "/v1/ban/1.2.3.4", "", []string{"Origin", "null"}, 403},
		{"localhost", "GET", "/v1/status", "", []string{"Host", "localhost:1"}, 200},
		{"IPv6", "GET", "/v1/status", "", []string{"Host", "[::1]:26660"}, 200},
		{"HEAD", "HEAD", "/v1/status", "", nil, 200},
	} {
		code, body, header := ask(t, c.method, "http://"+addr+c.path, c.body, c.header...)
		if code != c.want {
			t.Errorf("%s: %s %s gave %d, want %d: %s", c.name, c.method, c.path, code, c.want, body)
		}
		var f failure
		if code >= 400 && (json.Unmarshal([]byte(body), &f) != nil || f.Error == "" ||
			strings.Contains(f.Error, "\n")) {
			t.Errorf("%s: the body of %d is %q", c.name, code, body)
		}
		if code == 405 && header.Get("Allow") == "" {
			t.Errorf("%s: no Allow header", c.name)
		}
	}
}

func TestAddresses(t *testing.T) {
	n := newFakeNode(t).node()
	for _, bad := range []string{"localhost", "127.0.0.1:http", "127.0.0.1:70000", "unix://relative", "unix:///" +
		strings.Repeat("x", 200)} {
		if _, err := New(Config{Address: bad}, n, nil); err == nil || !strings.Contains(err.Error(), "admin: address") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := New(Config{}, Node{}, nil); err == nil {
		t.Error("a node of nothing is accepted")
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s, err := New(Config{Address: taken.Addr().String()}, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") ||
		!strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("port in use: %v", err)
	}
}

func TestClientSaysThatNobodyAnswers(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	c, err := NewClient(addr)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Status(t.Context())
	var u *UnreachableError
	if !errors.As(err, &u) || !strings.Contains(err.Error(), addr) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	if _, err := NewClient("nowhere"); err == nil {
		t.Error("an address without a port is accepted")
	}
	for in, want := range map[string]string{"0.0.0.0:1": "127.0.0.1:1", "[::]:1": "[::1]:1",
		"10.0.0.1:1": "10.0.0.1:1"} {
		if c, err := NewClient(in); err != nil || c.address != want {
			t.Errorf("%s: %+v, %v", in, c, err)
		}
	}
}

// Run ends promptly although streams and dials are open, and leaves nothing behind (goleak).
func TestStop(t *testing.T) {
	f := newFakeNode(t)
	f.dialWait = true
	s, err := New(Config{Address: "127.0.0.1:0"}, f.node(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	<-s.Listening()
	c, err := NewClient(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			if err := c.Events(t.Context(), nil, func(Event) error { return nil }); err == nil {
				t.Error("the stream ended without an error")
			}
		})
		<-f.watched
	}
	clients.Go(func() {
		if _, err := c.Dial(t.Context(), string(idB)+"@10.0.0.1:26656"); err == nil {
			t.Error("the dial succeeded")
		}
	})
	begun := time.Now()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > stopGrace/2 {
		t.Errorf("stopping took %v", took)
	}
	clients.Wait()
}

// Readers of events beyond a bound are refused, so that other requests are answered; when one goes, another has its
// place.
func TestReadersOfEvents(t *testing.T) {
	c, addr := serve(t, Config{}, newFakeNode(t).node())
	read := func() (net.Conn, string) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, "GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return conn, line
	}
	var first net.Conn
	for i := range 3 * maxReaders {
		conn, line := read()
		if i == 0 {
			first = conn
		}
		if got, want := strings.Contains(line, " 200 "), i < maxReaders; got != want {
			t.Fatalf("reader %d: %s", i, line)
		}
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
	first.Close()
	for {
		if _, line := read(); strings.Contains(line, " 200 ") {
			return
		}
	}
}

// Silent connections use up the places, but harm neither the node nor the requests in progress; when they go, others
// are served.
func TestSilentConnections(t *testing.T) {
	c, addr := serve(t, Config{}, newFakeNode(t).node())
	var silent []net.Conn
	for range maxConns {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, conn)
	}
	for _, conn := range silent {
		conn.Close()
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
}
