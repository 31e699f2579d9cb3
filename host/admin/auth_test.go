package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

// run runs a server until the test ends, or until the returned function is called.
func run(t *testing.T, s *Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Listening():
	case err := <-ended:
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		cancel()
		if !stopped {
			stopped = true
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

// Every method but GET and HEAD needs the token, whatever the path; metrics and profiles do if everything is protected.
func TestWhoMayAct(t *testing.T) {
	for _, tt := range []struct {
		protect Protect
		writes  string
		// what requests without a token get
		get, metrics, post int
	}{
		{"", WritesToken, 200, 200, 401},
		{ProtectWrites, WritesToken, 200, 200, 401},
		{ProtectAll, WritesToken, 200, 401, 401},
		{ProtectNone, WritesOpen, 200, 200, 200},
	} {
		n := newFakeNode(t).node()
		n.Metrics = prometheus.NewRegistry()
		n.Services = map[string]http.Handler{"greeter": http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) { Reply(w, http.StatusOK, "hello") })}
		c, addr := serve(t, Config{Protect: tt.protect, Profile: true}, n)
		if s, err := c.Status(t.Context()); err != nil || s.Writes != tt.writes {
			t.Errorf("%q: writes %q, %v", tt.protect, s.Writes, err)
		}
		for _, r := range []struct {
			method, path string
			want         int
		}{
			{"GET", "/v1/status", tt.get}, {"GET", "/", tt.get}, {"GET", "/v1/services/greeter/", tt.get},
			{"HEAD", "/v1/peers", tt.get},
			{"GET", "/metrics", tt.metrics}, {"HEAD", "/metrics", tt.metrics},
			{"GET", "/debug/pprof/", tt.metrics}, {"GET", "/debug/pprof/cmdline", tt.metrics},
			{"GET", "/debug/pprof/goroutine", tt.metrics},
			{"POST", "/v1/services/greeter/x", tt.post}, {"DELETE", "/v1/services/greeter/x", tt.post},
			{"PUT", "/v1/services/greeter/x", tt.post}, {"OPTIONS", "/v1/services/greeter/x", tt.post},
			{"FOO", "/v1/services/greeter/x", tt.post},
		} {
			for _, header := range []string{"", "Bearer", "Bearer ", "Bearer " + testToken[1:], "Bearer " + testToken +
				"0", "Basic " + testToken, testToken, "Bearer " + strings.ToUpper(testToken)} {
				code, body, h := ask(t, r.method, "http://"+addr+r.path, "", "Authorization", header)
				if code != r.want || code == 401 && (h.Get("WWW-Authenticate") != "Bearer" ||
					r.method != "HEAD" && !strings.Contains(body, TokenName)) {
					t.Errorf("%q: %s %s with %q: %d %s, want %d", tt.protect, r.method, r.path, header, code, body,
						r.want)
				}
			}
			for _, header := range []string{"Bearer " + testToken, "bearer  " + testToken} {
				if code, body, _ := ask(t, r.method, "http://"+addr+r.path, "", "Authorization", header); code != 200 {
					t.Errorf("%q: %s %s with %q: %d %s", tt.protect, r.method, r.path, header, code, body)
				}
			}
		}
		for path, method := range map[string]string{"/v1/dial": "POST", "/v1/disconnect": "POST", "/v1/ban": "POST",
			"/v1/ban/1.2.3.4": "DELETE", "/v1/protect": "POST", "/v1/protect/x": "DELETE", "/v1/relay": "POST",
			"/v1/nothing": "POST"} {
			code, _, _ := ask(t, method, "http://"+addr+path, "{}", "Authorization", "")
			if (code == 401) != (tt.post == 401) {
				t.Errorf("%q: %s %s without a token: %d", tt.protect, method, path, code)
			}
		}
		// With a token, too, a page of another origin is refused, and so is a name that is not ours.
		for _, header := range []string{"Origin", "Host"} {
			code, _, _ := ask(t, "POST", "http://"+addr+"/v1/services/greeter/x", "", header, "http://evil.example")
			if code == 200 {
				t.Errorf("%q: another %s: %d", tt.protect, header, code)
			}
		}
	}
}

// The token is new at each start, in a file of its owner alone while the node runs.
func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), TokenName)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, path); err != nil {
		t.Fatal(err)
	}
	f := newFakeNode(t)
	seen := map[string]bool{}
	for range 3 {
		s, err := New(Config{Address: "127.0.0.1:0", TokenFile: path}, f.node(), nil)
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, s)
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Fatalf("%v, %v", info, err)
		}
		token, err := readToken(path)
		if err != nil || token != s.Token() || len(token) != 64 || seen[token] {
			t.Errorf("token %q (%q), %v", token, s.Token(), err)
		}
		seen[token] = true
		if want := "http://" + s.Addr().String() + "/#token=" + token; s.URL() != want {
			t.Errorf("URL %s, want %s", s.URL(), want)
		}
		c, err := NewClient(s.Addr().String(), WithTokenFile(path))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Ban(t.Context(), "1.2.3.4", time.Hour, ""); err != nil {
			t.Error(err)
		}
		without, err := NewClient(s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := without.Ban(t.Context(), "1.2.3.4", time.Hour, ""); statusOf(err) != 401 {
			t.Errorf("without a token: %v", err)
		}
		if _, err := without.Status(t.Context()); err != nil {
			t.Errorf("without a token: %v", err)
		}
		lost, err := NewClient(s.Addr().String(), WithTokenFile(path+".lost"))
		if err != nil {
			t.Fatal(err)
		}
		if err := lost.Unban(t.Context(), "1.2.3.4"); statusOf(err) != 401 || !strings.Contains(err.Error(), "lost") {
			t.Errorf("a file that is not there: %v", err)
		}
		stop()
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "mine" {
		t.Errorf("the file that a link named: %q, %v", b, err)
	}

	// A node whose home cannot be written serves all the same.
	var log bytes.Buffer
	s, err := New(Config{Address: "127.0.0.1:0", TokenFile: filepath.Join(path, "below")}, f.node(),
		slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	c, err := NewClient(s.Addr().String(), WithToken(s.Token()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Ban(t.Context(), "1.2.3.4", time.Hour, ""); err != nil {
		t.Error(err)
	}
	stop()
	for _, want := range []string{"cannot be written", `msg="admin request" method=POST path=/v1/ban by=127.0.0.1:`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, log.String())
		}
	}
}

// Other machines reach the API only if the operator says so, and never without the token.
func TestRemoteAddresses(t *testing.T) {
	n := newFakeNode(t).node()
	for _, address := range []string{"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:1", "[2001:db8::1]:1",
		"[::ffff:10.0.0.1]:1"} {
		var remote *RemoteError
		if _, err := New(Config{Address: address}, n, nil); !errors.As(err, &remote) || remote.Address != address {
			t.Errorf("%s: %v", address, err)
		}
		if _, err := New(Config{Address: address, InsecureRemote: true}, n, nil); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		if _, err := New(Config{Address: address, InsecureRemote: true, Protect: ProtectNone}, n, nil); err == nil {
			t.Errorf("%s without the token is accepted", address)
		}
	}
	for _, address := range []string{"127.0.0.1:0", "127.1.2.3:0", "[::1]:0", "localhost:0", "[::ffff:127.0.0.1]:0",
		"unix:///x"} {
		if _, err := New(Config{Address: address}, n, nil); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, bad := range []Config{{Protect: "some"}, {Token: "short"}, {SocketMode: 0o666}, {SocketMode: 0o400},
		{Group: "wheel"}} {
		if _, err := New(bad, n, nil); err == nil || !strings.HasPrefix(err.Error(), "admin: ") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// A handler in a server of the program's own asks for the token, too.
func TestHandlerAlone(t *testing.T) {
	s, err := New(Config{}, newFakeNode(t).node(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]int{"": 401, "x": 401, s.Token(): 200} {
		r := httptest.NewRequest("POST", "http://localhost/v1/ban", strings.NewReader(`{"target":"1.2.3.4"}`))
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		if s.Handler().ServeHTTP(w, r); w.Code != want {
			t.Errorf("token %q: %d, want %d", token, w.Code, want)
		}
	}
	if s.URL() != "" {
		t.Errorf("URL %s of a server that does not listen", s.URL())
	}
}

// Bans that would end most links, or cover a large part of the Internet, need force.
func TestForcedBans(t *testing.T) {
	f := newFakeNode(t)
	f.peers = nil
	for i, ip := range []string{"10.0.0.1", "10.0.0.2", "10.0.1.3", "2001:db8::1", "::ffff:10.9.9.9"} {
		f.peers = append(f.peers, host.PeerInfo{ID: transport.NodeID(fmt.Sprintf("%040x", i)),
			IP: netip.MustParseAddr(ip)})
	}
	c, _ := serve(t, Config{}, f.node())
	for target, needs := range map[string]bool{
		"10.0.0.0/8": true, "10.0.0.0/23": true, "10.0.0.0/24": false, "10.0.0.1": false, "192.0.0.0/8": false,
		"192.0.0.0/7": true, "0.0.0.0/0": true, "::/0": true, "2000::/15": true, "2001::/16": false, "fd00::/8": true,
		fmt.Sprintf("%040x", 1): false,
	} {
		_, err := c.Ban(t.Context(), target, time.Hour, "")
		if got := statusOf(err) == http.StatusConflict; got != needs || (err != nil) != needs {
			t.Errorf("ban %s: %v", target, err)
		}
		if _, err := c.ForceBan(t.Context(), target, time.Hour, ""); err != nil {
			t.Errorf("force: ban %s: %v", target, err)
		}
	}
	// The only link of a node is one link, not most of them.
	f.peers = f.peers[:1]
	if _, err := c.Ban(t.Context(), "10.0.0.1", time.Hour, ""); err != nil {
		t.Error(err)
	}
}

// A socket of mode 0660 is for a group; it names who writes; a file that is no socket is never replaced.
func TestSharedSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "admin.sock")
	var log bytes.Buffer
	s, err := New(Config{Address: "unix://" + path, SocketMode: 0o660, Group: fmt.Sprint(os.Getgid()),
		TokenFile: filepath.Join(dir, TokenName)}, newFakeNode(t).node(), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(dir, TokenName)); !errors.Is(err, fs.ErrNotExist) || s.URL() != "" {
		t.Errorf("a socket needs no token: %v, %q", err, s.URL())
	}
	c, err := NewClient("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Ban(t.Context(), "1.2.3.4", time.Hour, ""); err != nil {
		t.Error(err)
	}
	if st, err := c.Status(t.Context()); err != nil || st.Writes != WritesSocket {
		t.Errorf("%q, %v", st.Writes, err)
	}
	stop()
	if want := fmt.Sprintf(`by="uid %d, gid %d, pid %d"`, os.Getuid(), os.Getgid(), os.Getpid()); !strings.Contains(
		log.String(), want) && !strings.Contains(log.String(), `by="the socket"`) {
		t.Errorf("the log has no %s:\n%s", want, log.String())
	}

	for name, make := range map[string]func(string) error{
		"file":      func(p string) error { return os.WriteFile(p, []byte("mine"), 0o600) },
		"directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"link":      func(p string) error { return os.Symlink(filepath.Join(dir, "file"), p) },
	} {
		foreign := filepath.Join(dir, name)
		if err := make(foreign); err != nil {
			t.Fatal(err)
		}
		s, err := New(Config{Address: "unix://" + foreign}, newFakeNode(t).node(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "not a socket") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(foreign); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	unknown, err := New(Config{Address: "unix://" + path, SocketMode: 0o660, Group: "no such group"},
		newFakeNode(t).node(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := unknown.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no such group") {
		t.Errorf("an unknown group: %v", err)
	}
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("the socket of a server that has failed is still there")
	}
}
