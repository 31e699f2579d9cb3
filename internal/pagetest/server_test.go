package pagetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host/admin"
)

// modelToken is the token of every model node.
const modelToken = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// modelNode serves the real page, and a model in the form of the API. Its browser test tells it to stop, to hang and to
// come back.
type modelNode struct {
	tb      testing.TB
	address string // host:port, the same after each return

	mu     sync.Mutex // guards all below
	model  *model
	mode   string        // "live", "still" (pings only), "hang", "busy"
	turned chan struct{} // closed when the mode changes
	server *http.Server
	asked  []obj // requests that were let in
	gone   []any // peers whose link has ended, to be told
}

// startModel serves a model of n peers until the test ends.
func startModel(tb testing.TB, n int, mode string) *modelNode {
	s := &modelNode{tb: tb, address: "127.0.0.1:0", model: newModel(n), mode: mode, turned: make(chan struct{})}
	s.start()
	tb.Cleanup(s.stop)
	return s
}

func (s *modelNode) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return
	}
	ln, err := net.Listen("tcp", s.address)
	if err != nil {
		s.tb.Error(err)
		return
	}
	s.address = ln.Addr().String()
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func(server *http.Server) { _ = server.Serve(ln) }(s.server)
}

func (s *modelNode) stop() {
	s.mu.Lock()
	server := s.server
	s.server = nil
	s.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
}

// turn sets the mode, or does what it says: "stop", "back", and "reborn", which is a start with another boot id.
func (s *modelNode) turn(mode string) error {
	switch mode {
	case "stop":
		s.stop()
		return nil
	case "back":
		s.start()
		return nil
	case "reborn":
		s.mu.Lock()
		s.model.status["boot_id"] = "ffeeddccbbaa9988"
		s.mu.Unlock()
		s.stop()
		s.start()
		return nil
	case "live", "still", "hang", "busy":
	default:
		return fmt.Errorf("no mode %q", mode)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = mode
	close(s.turned)
	s.turned = make(chan struct{})
	return nil
}

func (s *modelNode) now() (mode string, turned chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode, s.turned
}

func (s *modelNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mode, turned := s.now()
	for mode == "hang" {
		select {
		case <-turned:
			mode, turned = s.now()
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Date", modelTime.Format(http.TimeFormat))
	path := r.URL.Path
	switch {
	case path == "/" || strings.HasPrefix(path, "/page/"):
		admin.Page().ServeHTTP(w, r)
	case mode == "busy":
		admin.Fail(w, http.StatusServiceUnavailable, errors.New("the peer store is closed"))
	case r.Method != http.MethodGet:
		s.act(w, r)
	case path == "/v1/stream":
		s.stream(w, r)
	default:
		s.mu.Lock()
		defer s.mu.Unlock()
		m := s.model
		answer := map[string]any{"/v1/status": m.status, "/v1/peers": m.peers, "/v1/waiting": m.waiting,
			"/v1/bans": m.bans, "/v1/book": m.book, "/v1/graph": m.graph, "/v1/traffic": m.traffic(),
			"/v1/services/demo/network": modelNetwork(m.status["node_id"], m.network),
			"/v1/dials":                 obj{"seq": m.seq, "dialing": m.dialing, "attempts": m.attempts}}[path]
		if answer == nil {
			admin.Fail(w, http.StatusNotFound, errors.New("no such path"))
			return
		}
		admin.Reply(w, http.StatusOK, answer)
	}
}

// act lets in whoever has the token, and plays the consequences.
func (s *modelNode) act(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+modelToken {
		admin.Fail(w, http.StatusUnauthorized, errors.New("this needs the token of this start"))
		return
	}
	in := obj{}
	_ = json.NewDecoder(r.Body).Decode(&in)
	in["method"], in["path"] = r.Method, r.URL.Path
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, in)
	m := s.model
	switch {
	case r.URL.Path == "/v1/clear" && in["node_id"] == "":
		admin.Fail(w, http.StatusBadRequest, errors.New("node id \"\": want 40 hexadecimal digits"))
		return
	case r.URL.Path == "/v1/clear":
		m.waiting = without(m.waiting, "node_id", in["node_id"])
	case r.URL.Path == "/v1/forget" && s.configured(in["peer"]):
		admin.Fail(w, http.StatusConflict, errors.New("it is named by the configuration, which would bring it back"))
		return
	case r.URL.Path == "/v1/forget":
		m.waiting = without(m.waiting, "node_id", in["peer"])
		if in["disconnect"] == true {
			m.peers = without(m.peers, "node_id", in["peer"])
			s.gone = append(s.gone, in["peer"])
		}
	case r.URL.Path == "/v1/dial":
		admin.Fail(w, http.StatusBadGateway, errors.New("dial: connection refused"))
		return
	case r.URL.Path == "/v1/ban" && in["target"] == "0.0.0.0/1" && in["force"] != true:
		admin.Fail(w, http.StatusConflict, errors.New("0.0.0.0/1 is wider than /8: repeat with force"))
		return
	case strings.HasPrefix(r.URL.Path, "/v1/ban/"):
		m.bans = without(m.bans, "target", strings.TrimPrefix(r.URL.Path, "/v1/ban/"))
	}
	admin.Reply(w, http.StatusOK, in)
}

// configured reports whether a peer is persistent.
func (s *modelNode) configured(id any) bool {
	for _, p := range s.model.peers {
		if p["node_id"] == id {
			return p["trusted"] == true
		}
	}
	return false
}

func without(list []obj, key string, value any) []obj {
	out := []obj{}
	for _, o := range list {
		if o[key] != value {
			out = append(out, o)
		}
	}
	return out
}

// stream sends the model, then pings, and while it is live a delta each second in which every peer has changed.
func (s *modelNode) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	send := func(kind string, v obj) bool {
		s.mu.Lock()
		s.model.seq++
		v["seq"] = s.model.seq
		data, err := json.Marshal(v)
		s.mu.Unlock()
		if err == nil {
			_, err = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", v["seq"], kind, data)
		}
		return err == nil && out.Flush() == nil
	}
	s.mu.Lock()
	m := s.model
	whole := obj{"boot_id": m.status["boot_id"], "status": maps.Clone(m.status), "peers": m.peers, "events": m.events,
		"dials": obj{"seq": m.seq, "dialing": m.dialing, "attempts": m.attempts}, "traffic": m.traffic()}
	s.mu.Unlock()
	ok := send("snapshot", whole)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for step := 1; ok; step++ {
		mode, turned := s.now()
		select {
		case <-tick.C:
		case <-turned:
			mode, _ = s.now()
		case <-r.Context().Done():
			return
		}
		switch mode {
		case "busy":
			return
		case "hang":
			if s.hung(r.Context()) != nil {
				return
			}
		case "live":
			for kind, message := range s.second(step) {
				ok = ok && send(kind, message)
			}
		}
		if step%5 == 0 && mode != "hang" {
			ok = ok && send("ping", obj{"time": modelTime.Add(time.Duration(step) * time.Second)})
		}
	}
}

// hung waits until the node does not hang any more.
func (s *modelNode) hung(ctx context.Context) error {
	for {
		mode, turned := s.now()
		if mode != "hang" {
			return nil
		}
		select {
		case <-turned:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// second changes the model by a second: the messages to send, by kind.
func (s *modelNode) second(step int) map[string]obj {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, changed := s.model, []obj{}
	var receive, send float64
	for _, p := range m.peers {
		in, out := p["receive_rate"].(float64)*(.9+.2*m.rnd()), p["send_rate"].(float64)*(.9+.2*m.rnd())
		p["receive_rate"], p["send_rate"] = in, out
		p["received_bytes"] = p["received_bytes"].(int) + int(in)
		receive, send = receive+in, send+out
		changed = append(changed, obj{"node_id": p["node_id"], "receive_rate": in, "send_rate": out,
			"received_bytes": p["received_bytes"]})
	}
	delta := obj{"peers": changed, "status": obj{"rates": obj{"receive": receive, "send": send}}}
	out := map[string]obj{"delta": delta}
	if len(s.gone) > 0 {
		delta["gone"], s.gone = s.gone, nil
	}
	if step%5 == 0 {
		points := []obj{}
		for _, c := range m.channels {
			points = append(points, obj{"id": c["id"], "receive": c["receive_rate"], "send": c["send_rate"],
				"queued_bytes": 10 * step, "dropped": c["dropped"]})
		}
		delta["traffic"] = obj{"time": modelTime.Add(time.Duration(step) * time.Second), "channels": points}
	}
	if step%2 == 0 && len(m.attempts) > 0 { // an attempt, and its event
		why := failures[step/2%2]
		a := obj{"seq": 2000 + step, "time": at(-float64(step)),
			"address": fmt.Sprintf("/ip4/150.1.2.%d/tcp/26656", step), "inbound": false, "ok": false, "ms": 20,
			"kind": "dial-failed", "stage": why[0], "remedy": why[3], "source": "pex", "stages": []obj{},
			"reason": obj{"code": why[1], "text": why[2]}}
		delta["attempts"] = []obj{a}
		e := event(2000+step, -float64(step), "dial-failed", fmt.Sprintf("150.1.2.%d %s: %s", step, why[0], why[2]))
		out["event"] = obj{"event": e}
	}
	return out
}
