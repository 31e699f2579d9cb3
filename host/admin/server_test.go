package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestBadRequests(t *testing.T) {
	_, addr := serve(t, Config{}, newFakeNode(t).node())
	for _, c := range []struct {
		name, method, path, body string
		header                   []string
		want                     int
	}{
		{"no such path", "GET", "/v1/nothing", "", nil, 404},
		{"no such service", "GET", "/v1/services/nothing/x", "", nil, 404},
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
	c, err := NewClient(s.Addr().String(), WithToken(s.Token()))
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for range 3 {
		begun := make(chan struct{})
		clients.Go(func() {
			if err := c.Events(t.Context(), func() { close(begun) }, func(Event) error { return nil }); err == nil {
				t.Error("the stream ended without an error")
			}
		})
		<-begun
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
