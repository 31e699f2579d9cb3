package admin_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// The API answers what the router has, and its answers agree with each other, while nodes come and go, are banned,
// praised and blamed. (Tests of package host show that the router, the peer manager and the store agree at each
// moment.)
func TestAnswersAgreeUnderChurn(t *testing.T) {
	const nodes, rounds = 8, 150
	synctest.Test(t, func(t *testing.T) {
		registries := make([]*prometheus.Registry, nodes)
		net := hosttest.New(t, hosttest.Options{Nodes: nodes, KnowFirst: true, Plain: true,
			Speaks: func(*hosttest.Node) []string { return []string{transport.WireComet, transport.WireLibp2p} },
			Tune: func(n *hosttest.Node, c *host.Config) {
				registries[n.Index] = prometheus.NewRegistry()
				c.Metrics = registries[n.Index]
				c.Peers.MaxOutbound, c.Peers.MaxInbound, c.Peers.Feelers = 3, 3, 20*time.Second
				if n.Index == 1 {
					c.Peers.Persistent = []transport.Address{hosttest.AddressOf(n, 4)}
				}
			}})
		rng := rand.New(rand.NewPCG(3, 3))
		seen := map[string]int{}
		for round := range rounds {
			n, o := net.Nodes[rng.IntN(nodes)], net.Nodes[rng.IntN(nodes)]
			switch what := rng.IntN(8); {
			case !n.Running():
				n.Start()
			case what == 0:
				n.Stop()
			case what == 1:
				_ = n.Host.PeerManager().Ban(peerstore.Target{ID: o.ID}, time.Now().Add(time.Minute), "a test")
			case what == 2:
				_ = n.Host.PeerManager().Ban(peerstore.Target{Prefix: netip.PrefixFrom(o.IP(), 32)},
					time.Now().Add(time.Minute), "a test")
			case what == 3:
				n.Host.Report(o.ID, host.Behaviour{Points: 30})
			case what == 4:
				n.Host.Report(o.ID, host.Behaviour{Severity: host.Disconnect, Reason: "a test"})
			default:
				n.Learn(net.Nodes...)
			}
			time.Sleep(time.Duration(rng.Int64N(int64(10 * time.Second))))
			synctest.Wait()
			for i, n := range net.Nodes {
				if !n.Running() {
					continue
				}
				if why := disagreement(t, n, registries[i], seen); why != "" {
					t.Fatalf("round %d: %s: %s\n%s", round, n.Name, why, net)
				}
			}
		}
		for _, what := range []string{"inbound", "outbound", "trusted", "tried", "new", "banned", "score", "faded"} {
			if seen[what] == 0 {
				t.Errorf("it never happened: %s", what)
			}
		}
	})
}

// disagreement returns the first contradiction between the answers of a node, or between them and its host; "" for
// none.
func disagreement(t *testing.T, n *hosttest.Node, metrics *prometheus.Registry, seen map[string]int) string {
	server, err := admin.New(admin.Config{}, admin.Of(n.Host, n.Store, metrics), nil)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string, into any) string {
		t.Helper()
		w := httptest.NewRecorder()
		server.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil))
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		body := w.Body.String()
		if into != nil {
			if err := json.Unmarshal([]byte(body), into); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
		return body
	}
	var status admin.Status
	var peers []admin.Peer
	var known []admin.KnownPeer
	var bans []admin.Ban
	get("/v1/status", &status)
	get("/v1/peers", &peers)
	get("/v1/store?limit=1000", &known)
	get("/v1/bans", &bans)

	infos := n.Host.Peers()
	if len(infos) != len(peers) {
		return fmt.Sprintf("%d peers are up, /v1/peers has %d", len(infos), len(peers))
	}
	var counts admin.PeerCounts
	scores := map[transport.NodeID]int{}
	for i, p := range peers {
		if in := p.Direction == admin.Inbound; p.NodeID != infos[i].ID || in != infos[i].Inbound ||
			p.Trusted != infos[i].Trusted || p.Score != infos[i].Score || p.Kept == "" || p.KeptCode == "" ||
			len(p.Stages) == 0 || p.LinkID != infos[i].LinkID {
			return fmt.Sprintf("/v1/peers has %+v of %+v", p, infos[i])
		} else if in {
			counts.Inbound++
		} else {
			counts.Outbound++
		}
		if p.Trusted {
			counts.Trusted++
		}
		scores[p.NodeID] = p.Score
	}
	for _, k := range known {
		if _, up := scores[k.NodeID]; k.Trusted && !up {
			counts.Down++
		}
	}
	if status.Peers != counts || len(status.Down) != counts.Down {
		return fmt.Sprintf("/v1/status counts %+v, /v1/peers has %+v", status.Peers, counts)
	}
	store := admin.StoreCounts{Known: len(known), Banned: len(bans)}
	for _, k := range known {
		if k.Quarantined.After(time.Now()) {
			store.Quarantined++
		}
		if k.Tried {
			store.Tried++
		} else {
			store.New++
		}
		if score, up := scores[k.NodeID]; up && score != k.Score {
			return fmt.Sprintf("%s has a score of %d in /v1/peers, %d in /v1/store", k.NodeID, score, k.Score)
		}
		if s, ok := n.Host.PeerManager().Status(k.NodeID); !ok || s.Score != k.Score || s.Failures != k.Failures ||
			s.Addresses != len(k.Addresses) || s.Trusted != k.Trusted {
			return fmt.Sprintf("/v1/store has %+v of %+v", k, s)
		}
		if k.Score != 0 {
			seen["score"]++
		}
		if rec, _ := n.Store.Get(k.NodeID); int(rec.Score) != k.Score {
			seen["faded"]++
		}
	}
	if status.Store != store {
		return fmt.Sprintf("/v1/status counts %+v, /v1/store and /v1/bans have %+v", status.Store, store)
	}
	want := map[string]int{
		`switchyard_peers{direction="inbound"}`:  counts.Inbound,
		`switchyard_peers{direction="outbound"}`: counts.Outbound,
		`switchyard_known_peers{state="tried"}`:  store.Tried, `switchyard_known_peers{state="new"}`: store.New,
		`switchyard_bans`: store.Banned,
	}
	got := map[string]int{}
	for lines := bufio.NewScanner(strings.NewReader(get("/metrics", nil))); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), " ")
		if _, asked := want[key]; asked || strings.HasPrefix(key, "switchyard_peers{") {
			n, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(lines.Text())
			}
			name, _, _ := strings.Cut(key, "\",")
			got[strings.TrimSuffix(name, "\"}")] += n
		}
	}
	for key, n := range want {
		if got[strings.TrimSuffix(key, "\"}")] != n {
			return fmt.Sprintf("the metric %s is %d, want %d (%v)", key, got[strings.TrimSuffix(key, "\"}")], n, got)
		}
	}
	for what, n := range map[string]int{"inbound": counts.Inbound, "outbound": counts.Outbound,
		"trusted": counts.Trusted, "tried": store.Tried, "new": store.New, "banned": store.Banned} {
		seen[what] += n
	}
	return ""
}

// Dials, kept and stages are what happened: of dials that work, fail and are refused.
func TestDialsTellWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := hosttest.New(t, hosttest.Options{Nodes: 3, Tune: func(n *hosttest.Node, c *host.Config) {
			if n.Index == 2 {
				c.Network = "elsewhere"
			}
		}})
		a, b, c := net.Nodes[0], net.Nodes[1], net.Nodes[2]
		a.Found("pex")(b.Address(), "")
		a.Found("dns")(c.Address(), "")
		net.AwaitLink(a, b)
		time.Sleep(time.Second)
		server, err := admin.New(admin.Config{}, admin.Of(a.Host, a.Store, nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		get := func(path string, into any) {
			t.Helper()
			w := httptest.NewRecorder()
			server.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil))
			if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
				t.Fatalf("%s: %v: %s", path, err, w.Body)
			}
		}
		var dials admin.Dials
		get("/v1/dials", &dials)
		found := map[transport.NodeID]admin.Attempt{}
		for _, d := range dials.Attempts {
			found[d.NodeID] = d
		}
		if d := found[b.ID]; !d.OK || d.Source != "pex" || len(d.Stages) != 4 || d.Address != b.Address().String() {
			t.Errorf("the dial that worked: %+v", d)
		}
		d := found[c.ID]
		if d.OK || d.Source != "dns" || d.Reason == nil || d.Reason.Code != "wrong-network" || d.Remedy == "" ||
			d.Stage != "info" || len(d.Stages) != 4 || d.Stages[3].Name != "info" {
			t.Errorf("the dial of another network: %+v", d)
		}
		var list []admin.Peer
		get("/v1/peers?wire=comet&direction=outbound&sort=kept_code", &list)
		if len(list) != 1 || list[0].Kept != "outbound slot 1 of 8" || list[0].KeptCode != "outbound" ||
			list[0].Kind != "comet" || len(list[0].Stages) != 4 || list[0].Since.IsZero() {
			t.Errorf("the peers are %+v", list)
		}
		var status admin.Status
		get("/v1/status", &status)
		if s := status; s.Recent.Dials != 2 || s.Recent.DialsFailed != 1 || s.Limits.MaxInbound != 40 ||
			len(s.BootID) != 16 {
			t.Errorf("the status is %+v", s)
		}
		a.Stop() // nothing is being dialed then
		if n := len(a.Host.Journal().Dialing()); n != 0 {
			t.Errorf("%d dials go on", n)
		}
	})
}

// A dial in progress tells which stage it is in.
func TestDialingTellsTheStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := hosttest.New(t, hosttest.Options{Conditions: memory.Conditions{Latency: 100 * time.Millisecond},
			Speaks: func(*hosttest.Node) []string { return []string{transport.WireLibp2p} }})
		a, b := net.Nodes[0], net.Nodes[1]
		a.Found("pex")(b.Address(), "")
		var stages []string
		for range 100 {
			time.Sleep(10 * time.Millisecond)
			for _, d := range a.Host.Journal().Dialing() {
				if d.ID != b.ID || d.Source != "pex" || d.Address != b.Address().String() {
					t.Fatalf("the dial is %+v", d)
				}
				stages = append(stages, d.Stage)
			}
		}
		if got := slices.Compact(stages); !slices.Equal(got, []string{"transport", "security", "info"}) {
			t.Errorf("the stages were %v", got)
		}
		if n := len(a.Host.Journal().Dialing()); n != 0 || !a.Has(b) {
			t.Errorf("%d dials go on", n)
		}
	})
}
