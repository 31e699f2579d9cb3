package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// free returns an address of this machine that is free.
func free(t *testing.T) (address, port string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ = net.SplitHostPort(ln.Addr().String())
	return ln.Addr().String(), port
}

// TestProgram builds the program and runs two nodes of it. The second one finds the first through the source; the
// command, the route, the metric, the page and the stock commands work.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "mynode")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(program, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("mynode %v: %v %s", args, err, out)
		}
		return string(out)
	}
	eventually := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !ok(); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not within a minute: %s", what)
			}
		}
	}
	type node struct{ home, admin, listen, id string }
	start := func(name, discovery string) node {
		t.Helper()
		n := node{home: filepath.Join(dir, name)}
		n.admin, _ = free(t)
		var port string
		n.listen, port = free(t)
		run("init", "--home", n.home, "--network", "examples", "--listen", "/ip4/127.0.0.1/tcp/"+port,
			"--set", "admin.address="+n.admin)
		var id struct {
			NodeID string `json:"node_id"`
		}
		if err := json.Unmarshal([]byte(run("id", "--json", "--home", n.home)), &id); err != nil {
			t.Fatal(err)
		}
		n.id = id.NodeID
		cmd := exec.Command(program, "start", "--home", n.home, "--set", "discovery="+discovery)
		cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Signal(os.Interrupt)
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
		eventually(name+" runs", func() bool {
			return exec.Command(program, "healthz", "--home", n.home).Run() == nil
		})
		return n
	}
	get := func(n node, path string) string {
		t.Helper()
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
		resp, err := client.Get("http://" + n.admin + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	a := start("a", "[]")
	b := start("b", `[{use="command",run=["echo","`+a.id+"@"+a.listen+`"]}]`)
	eventually("a links with b and hears its clock", func() bool {
		return strings.Contains(run("skew", "--home", a.home), b.id+" ") // the hex id, then the skew
	})
	if metrics := get(b, "/metrics"); !strings.Contains(metrics, "\nclock_answers_total 1\n") {
		t.Errorf("b has not counted: %s", metrics)
	}
	if skew := get(b, "/v1/services/clock/peers"); !strings.Contains(skew, a.id) {
		t.Errorf("the route says %s", skew)
	}
	if store := get(b, "/v1/store"); !strings.Contains(store, `"command"`) {
		t.Errorf("the store does not know the source: %s", store)
	}
	if page := get(a, "/"); !strings.Contains(strings.ToLower(page), "<!doctype html>") {
		t.Errorf("the page is %.100s", page)
	}
	if peers := run("peers", "--json", "--home", b.home); !strings.Contains(peers, a.id) {
		t.Errorf("peers: %s", peers)
	}
	if config, err := os.ReadFile(filepath.Join(a.home, "config.toml")); err != nil ||
		!strings.Contains(string(config), "[services.clock]") {
		t.Errorf("init says nothing of the service: %v", err)
	}
}
