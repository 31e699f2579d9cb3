package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// api is the API of a node of a test network, without a token.
type api struct {
	t *testing.T
	http.Handler
}

func apiOf(t *testing.T, n *hosttest.Node) api {
	t.Helper()
	s, err := admin.New(admin.Config{Protect: admin.ProtectNone}, admin.Of(n.Host, n.Store, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	return api{t, s.Handler()}
}

// ask sends a request and decodes the answer into out, unless that is nil.
func (a api) ask(method, path, body string, want int, out any) http.Header {
	a.t.Helper()
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body)))
	if w.Code != want {
		a.t.Fatalf("%s %s %s: %d %s, want %d", method, path, body, w.Code, w.Body, want)
	}
	if out != nil {
		if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
			a.t.Fatalf("%s: %v: %s", path, err, w.Body)
		}
	}
	return w.Result().Header
}

// What is waited for is told, can be cleared, and peers can be forgotten.
func TestWaitingClearForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := hosttest.New(t, hosttest.Options{Nodes: 5, Stopped: true, Tune: func(n *hosttest.Node, c *host.Config) {
			switch n.Index {
			case 0:
				c.Peers.Persistent = []transport.Address{hosttest.AddressOf(n, 3)}
			case 2:
				c.Network = "elsewhere"
			}
		}})
		a, b, strange, trusted, away := net.Nodes[0], net.Nodes[1], net.Nodes[2], net.Nodes[3], net.Nodes[4]
		for _, n := range []*hosttest.Node{a, b, strange, trusted} {
			n.Start()
		}
		for _, n := range []*hosttest.Node{b, strange, away} {
			a.Found("pex")(n.Address(), "")
		}
		net.AwaitLink(a, b)
		net.AwaitLink(a, trusted)
		time.Sleep(10 * time.Second)
		api := apiOf(t, a)
		var list []admin.Waiting
		if h := api.ask("GET", "/v1/waiting", "", 200, &list); h.Get("X-Total-Count") != "2" || len(list) != 2 {
			t.Fatalf("%s wait: %+v", h.Get("X-Total-Count"), list)
		}
		if w := list[0]; w.NodeID != away.ID || w.Kind != admin.WaitBackoff || w.Code != "transport" ||
			w.Reason == "" || w.Failures < 2 || w.Address != away.Address().String() || !w.Until.After(time.Now()) {
			t.Errorf("the one that is away: %+v", w)
		}
		if w := list[1]; w.NodeID != strange.ID || w.Kind != admin.WaitQuarantine || w.Code != "wrong-network" ||
			time.Until(w.Until) < 5*time.Hour {
			t.Errorf("the one of another network: %+v", w)
		}

		away.Start()
		api.ask("POST", "/v1/clear", fmt.Sprintf(`{"node_id":%q}`, away.ID), 200, nil)
		api.ask("POST", "/v1/clear", fmt.Sprintf(`{"node_id":%q}`, strange.ID), 200, nil)
		synctest.Wait()
		time.Sleep(time.Second)
		if !a.Has(away) {
			t.Error("what was cleared was not dialed")
		}
		api.ask("POST", "/v1/clear", fmt.Sprintf(`{"node_id":%q}`, strings.Repeat("1", 40)), 404, nil)
		api.ask("POST", "/v1/clear", `{"node_id":"x"}`, 400, nil)
		api.ask("GET", "/v1/clear", ``, 405, nil)

		for id, want := range map[transport.NodeID]int{trusted.ID: 409, b.ID: 409, strange.ID: 200,
			transport.NodeID(strings.Repeat("1", 40)): 404, "x": 400} {
			api.ask("POST", "/v1/forget", fmt.Sprintf(`{"peer":%q}`, id), want, nil)
		}
		if _, known := a.Store.Get(strange.ID); known {
			t.Error("what was forgotten is known")
		}
		// with its link, unless the configuration would bring it back
		for id, want := range map[transport.NodeID]int{trusted.ID: 409, b.ID: 200} {
			api.ask("POST", "/v1/forget", fmt.Sprintf(`{"peer":%q,"disconnect":true}`, id), want, nil)
		}
		if _, known := a.Store.Get(b.ID); known || a.Has(b) || !a.Has(trusted) {
			t.Errorf("forgotten with its link: known %t, linked %t; the trusted one linked %t", known, a.Has(b),
				a.Has(trusted))
		}
	})
}

// Thousands that wait are bounded and in order.
func TestManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := hosttest.New(t, hosttest.Options{Nodes: 1})
		a, now := net.Nodes[0], time.Now()
		for i := range 6000 {
			id := transport.NodeID(fmt.Sprintf("%040x", i+1))
			addr, err := transport.ParseAddress(fmt.Sprintf("/ip4/%d.%d.1.1/tcp/1/mconn/%s", 20+i/200, i%200, id))
			if err != nil {
				t.Fatal(err)
			}
			a.Store.Ensure(id, now, func(r *peerstore.Record) {
				r.Addresses = []peerstore.AddressRecord{{Address: addr, LastError: "\u202eevil\n"}}
				r.NotBefore = now.Add(time.Duration(6000-i) * time.Second)
			})
		}
		var list []admin.Waiting
		h := apiOf(t, a).ask("GET", "/v1/waiting", "", 200, &list)
		inOrder := slices.IsSortedFunc(list, func(a, b admin.Waiting) int { return a.Until.Compare(b.Until) })
		if h.Get("X-Total-Count") != strconv.Itoa(a.Store.Stats().Known) || len(list) != 1000 || !inOrder ||
			!list[0].Until.Equal(now.Add(time.Second)) || list[0].Reason != "?evil?" {
			t.Errorf("%s in all, %d, the first %+v", h.Get("X-Total-Count"), len(list), list[0])
		}
	})
}

// The book and the graph have what the store has.
func TestBookAndGraph(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := hosttest.New(t, hosttest.Options{Nodes: 3})
		a, b, c := net.Nodes[0], net.Nodes[1], net.Nodes[2]
		a.Found("pex")(b.Address(), "")
		net.AwaitLink(a, b)
		a.Found("pex")(c.Address(), b.ID)
		for i := range 300 {
			id := transport.NodeID(fmt.Sprintf("%040x", i+1))
			where := fmt.Sprintf("30.7.1.%d", i+1)
			if i >= 60 {
				where = fmt.Sprintf("%d.%d.1.1", 31+i%20, i%250)
			}
			addr, err := transport.ParseAddress("/ip4/" + where + "/tcp/1/mconn/" + string(id))
			if err != nil {
				t.Fatal(err)
			}
			a.Found("pex")(addr, b.ID)
		}
		time.Sleep(time.Minute)
		api, known := apiOf(t, a), a.Store.Stats().Known
		var book admin.Book
		api.ask("GET", "/v1/book", "", 200, &book)
		sum := 0
		for _, n := range append(book.Buckets.New, book.Buckets.Tried...) {
			sum += n
		}
		if book.Known != known || sum != known || book.Buckets.Size != 64 || len(book.Groups) != 50 {
			t.Fatalf("%d known, %d in buckets; the book says %+v", known, sum, book.Groups)
		}
		if g := book.Groups[0]; g.Group != "30.7.0.0/16" || g.New < 30 || g.Tried != 0 || g.Sources != 1 ||
			g.Linked != 0 {
			t.Errorf("the largest group: %+v", g)
		}
		var graph admin.Graph
		api.ask("GET", "/v1/graph", "", 200, &graph)
		if len(graph.Nodes) != 200 || graph.LeftOut != known-199 || graph.Nodes[0].ID != a.ID ||
			!graph.Nodes[1].Linked || graph.Nodes[1].Kind != "comet" || graph.Nodes[1].Moniker == "" {
			t.Fatalf("%d nodes, %d left out, first %+v", len(graph.Nodes), graph.LeftOut, graph.Nodes[:2])
		}
		if !slices.Contains(graph.Edges, admin.GraphEdge{From: b.ID, To: c.ID}) || len(graph.Edges) < 190 {
			t.Errorf("%d edges", len(graph.Edges))
		}
	})
}

// A node that is alone, and then is not, says so.
func TestFindings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := hosttest.New(t, hosttest.Options{Nodes: 3, Tune: func(n *hosttest.Node, c *host.Config) {
			if n.Index == 0 {
				c.Peers.Persistent = []transport.Address{hosttest.AddressOf(n, 2)}
			}
			if n.Index == 2 {
				c.Network = "elsewhere"
			}
		}})
		a, b := net.Nodes[0], net.Nodes[1]
		api := apiOf(t, a)
		codes := func() (out []string) {
			t.Helper()
			var s admin.Status
			api.ask("GET", "/v1/status", "", 200, &s)
			for _, f := range s.Findings {
				out = append(out, f.Code)
				if f.Text == "" || f.Since.IsZero() || f.Since.After(time.Now()) || f.Remedy == "" &&
					f.Code != "well" && f.Code != "starting" {
					t.Errorf("%+v", f)
				}
			}
			return out
		}
		want := func(when string, want ...string) {
			t.Helper()
			time.Sleep(time.Second)
			if got := codes(); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", when, got, want)
			}
		}
		want("at the start", "persistent-down", "starting")
		time.Sleep(2 * time.Minute)
		want("alone", "alone", "persistent-down")
		a.Found("pex")(b.Address(), "")
		net.AwaitLink(a, b)
		want("with a peer", "persistent-down")
		_ = a.Host.Ban(peerstore.Target{ID: net.Nodes[2].ID}, time.Time{}, "a test")
		want("with a persistent peer that is banned", "banned-persistent")
	})
}
