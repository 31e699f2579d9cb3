package http

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id = "0123456789abcdef0123456789abcdef01234567"

func build(t *testing.T, cfg Config) *source {
	t.Helper()
	s, err := New(cfg, discovery.Env{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return s.(*source)
}

// fetch asks once, as Run does.
func fetch(t *testing.T, s *source) (string, error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	tr := &nethttp.Transport{DialContext: s.dial, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader}
	text, err := s.fetch(ctx, &nethttp.Client{Transport: tr,
		CheckRedirect: func(*nethttp.Request, []*nethttp.Request) error { return nethttp.ErrUseLastResponse }})
	return string(text), err
}

// A real server: the list, its tag, redirects, sizes, silence.
func TestFetch(t *testing.T) {
	ended := make(chan struct{})
	mux := nethttp.NewServeMux()
	mux.HandleFunc("/list", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("ETag", `"v1"`)
		if r.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(nethttp.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, "the list")
	})
	mux.HandleFunc("/long", func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("x"), discovery.MaxListBytes+1))
	})
	mux.HandleFunc("/silent", func(_ nethttp.ResponseWriter, r *nethttp.Request) {
		select {
		case <-ended:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/busy", func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		w.Header().Set("Retry-After", "77")
		w.WriteHeader(nethttp.StatusServiceUnavailable)
	})
	mux.HandleFunc("/to", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		nethttp.Redirect(w, r, r.URL.Query().Get("url"), nethttp.StatusFound)
	})
	mux.HandleFunc("/loop", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		nethttp.Redirect(w, r, "/loop", nethttp.StatusFound)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	defer close(ended)
	other := httptest.NewServer(mux)
	defer other.Close()

	s := build(t, Config{URL: server.URL + "/list"})
	if text, err := fetch(t, s); err != nil || text != "the list" {
		t.Fatalf("%q, %v", text, err)
	}
	if text, err := fetch(t, s); err != nil || text != "" || s.tag != `"v1"` {
		t.Errorf("an unchanged list: %q, %v", text, err)
	}
	for path, want := range map[string]string{
		"/long":                          "more than 1048576 bytes",
		"/absent":                        "404",
		"/busy":                          "503",
		"/silent":                        "deadline exceeded",
		"/loop":                          "more than 3 redirects",
		"/to?url=/list":                  "",
		"/to?url=" + other.URL + "/list": "not public",
		"/to?url=http://example.com/":    "want https",
		"/to?url=file:///etc/passwd":     "names no server",
	} {
		_, err := fetch(t, build(t, Config{URL: server.URL + path, Timeout: 300 * time.Millisecond}))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v; want %q", path, err, want)
		}
	}
	allowed := Config{URL: server.URL + "/to?url=" + other.URL + "/list", AllowPrivate: true}
	if text, err := fetch(t, build(t, allowed)); err != nil || text != "the list" {
		t.Errorf("an allowed redirect: %q, %v", text, err)
	}
}

// Time is virtual: the intervals, the pauses after failures, and that a node which stops asks no more.
func TestIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := build(t, Config{URL: "http://127.0.0.1:1/list", Interval: 5 * time.Minute})
		var mu sync.Mutex // guards asked, next and found
		var asked []time.Duration
		began := time.Now()
		next := ""
		set := func(answer string) {
			mu.Lock()
			defer mu.Unlock()
			next = answer
		}
		s.dial = func(context.Context, string, string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, time.Since(began))
			answer := next
			if answer == "" {
				return nil, fmt.Errorf("nobody is there")
			}
			ours, theirs := net.Pipe()
			go func() { // a server for one request
				defer theirs.Close()
				buf := make([]byte, 4096)
				if _, err := theirs.Read(buf); err == nil {
					_, _ = io.WriteString(theirs, answer)
				}
			}()
			return ours, nil
		}
		ctx, stop := context.WithCancel(t.Context())
		var found []string
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Run(ctx, nil, func(a transport.Address, _ transport.NodeID) {
				mu.Lock()
				defer mu.Unlock()
				found = append(found, a.CometString())
			}); err != nil {
				t.Error(err)
			}
		})
		after := func(d time.Duration) (requests []time.Duration, addresses int) {
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(asked), len(found)
		}
		at, _ := after(90 * time.Second) // at once, after 15 s, 30 s more
		if len(at) != 3 || at[0] != 0 || at[1] < 13*time.Second || at[1] > 17*time.Second ||
			at[2]-at[1] < 26*time.Second {
			t.Errorf("asked after %v", at)
		}
		list := `["` + id + `@10.0.0.1:1","bad","` + id + `@10.0.0.2:1"]`
		set(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(list), list))
		if at, addresses := after(time.Minute); len(at) != 4 || addresses != 2 {
			t.Errorf("asked after %v, found %d", at, addresses)
		}
		if at, _ := after(time.Hour); len(at) < 4+10 || len(at) > 4+14 {
			t.Errorf("%d requests in an hour", len(at)-4)
		}
		set("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7200\r\nContent-Length: 0\r\n\r\n")
		at, _ = after(6 * time.Minute)
		if later, _ := after(100 * time.Minute); len(later) != len(at) {
			t.Errorf("asked %d times although the server wants to rest", len(later)-len(at))
		}
		stop()
		wg.Wait()
	})
}

func TestSettings(t *testing.T) {
	for _, bad := range []string{"", "example.com/list", "http://example.com/list", "ftp://example.com/", "https://",
		"http://10.0.0.1/", "https://:443/", "::", "http://127.0.0.1.example.com/"} {
		if _, err := New(Config{URL: bad}, discovery.Env{}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, good := range []string{"https://example.com/list", "http://127.0.0.9:80/", "http://[::1]/",
		"http://localhost/"} {
		if _, err := New(Config{URL: good}, discovery.Env{}); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, c := range []Config{{URL: "https://a/", Interval: -1}, {URL: "https://a/", Timeout: -1}} {
		if _, err := New(c, discovery.Env{}); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
