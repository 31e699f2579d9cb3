package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestServices: handlers of services are served below their names, behind the API's checks.
func TestServices(t *testing.T) {
	node := newFakeNode(t).node()
	node.Services = map[string]http.Handler{"greeter": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Name string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			Fail(w, http.StatusBadRequest, err)
			return
		}
		Reply(w, http.StatusOK, map[string]string{"path": r.URL.Path, "name": in.Name})
	})}
	s, err := New(Config{}, node, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	c, err := NewClient(strings.TrimPrefix(server.URL, "http://"), WithToken(s.Token()))
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ Path, Name string }
	for _, into := range []any{&out, nil} {
		in := map[string]string{"name": "anna"}
		if err := c.Call(t.Context(), "POST", "/v1/services/greeter/a/b", in, into); err != nil {
			t.Error(err)
		}
	}
	if out.Path != "/a/b" || out.Name != "anna" {
		t.Errorf("the handler got %+v", out)
	}
	for path, in := range map[string]any{
		"/v1/services/greeter/": strings.Repeat("x", maxItem),
		"/v1/services/greeter":  nil,
		"/v1/services/other/":   nil,
	} {
		err := c.Call(t.Context(), "POST", path, in, nil)
		var answered *APIError
		if !errors.As(err, &answered) || answered.Message == "" {
			t.Errorf("%s: %v", path, err)
		}
	}
	r := httptest.NewRequest("POST", "/v1/services/greeter/a", strings.NewReader("{}"))
	r.Host, r.Header = "localhost", http.Header{"Origin": {"http://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}
	w := httptest.NewRecorder()
	if s.Handler().ServeHTTP(w, r); w.Code != http.StatusForbidden {
		t.Errorf("a page of another origin: %d", w.Code)
	}
	for _, bad := range []string{"", "a/b", "{x}", "Ä"} {
		node.Services = map[string]http.Handler{bad: http.NotFoundHandler()}
		if _, err := New(Config{}, node, nil); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", bad)) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestServiceEvents: a service's handler sends events, and a client follows them until they end.
func TestServiceEvents(t *testing.T) {
	type event struct {
		N    int
		Text string
	}
	node := newFakeNode(t).node()
	node.Services = map[string]http.Handler{"counter": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		events := make(chan event, 3)
		for n := range 3 {
			events <- event{n, "line\nbreak"}
		}
		close(events)
		SendEvents(w, r, events)
	})}
	c, _ := serve(t, Config{}, node)
	var got []event
	ready := 0
	began := func() { ready++ }
	err := c.ServiceEvents(t.Context(), "/v1/services/counter/events", began, func(data json.RawMessage) error {
		var e event
		err := json.Unmarshal(data, &e)
		got = append(got, e)
		return err
	})
	var gone *UnreachableError
	want := []event{{0, "line\nbreak"}, {1, "line\nbreak"}, {2, "line\nbreak"}}
	if !errors.As(err, &gone) || ready != 1 || !slices.Equal(got, want) {
		t.Errorf("%+v, ready %d times, %v", got, ready, err)
	}
	err = c.ServiceEvents(t.Context(), "/v1/services/other/events", nil, nil)
	if statusOf(err) != http.StatusNotFound {
		t.Errorf("no such service: %v", err)
	}
}
