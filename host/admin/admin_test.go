package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	want := []string{"boot_id", "down", "findings", "goroutines", "limits", "listen", "moniker", "network", "node_id",
		"observed", "peer_id", "peers", "quarantined", "rates", "reachability", "recent", "services", "store",
		"uptime_s", "version", "writes"}
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

// All bans are listed, as many as /v1/status counts.
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
		f.journal.Add(host.Event{Kind: host.EventUp, ID: idA, Time: time.Unix(1, 0), Duration: time.Millisecond})
		f.journal.Add(host.Event{Kind: host.EventDialFailed, ID: idB, Stage: "security",
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
