package pagetest

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// These choose what runs; `make page` sets them.
const (
	wanted = "SWITCHYARD_PAGE"       // "short", "long" or "bench"; without it, nothing runs
	shots  = "SWITCHYARD_PAGE_SHOTS" // the folder of the pictures
)

// form returns which form of the tests was asked for, and skips the test without.
func form(t *testing.T) string {
	t.Helper()
	f := os.Getenv(wanted)
	if f == "" {
		t.Skip("`make page` runs this: it needs a browser")
	}
	return f
}

// runBrowser runs a script of the folder browser, and passes its lines on. The script says "FAIL: ..." for each thing
// that is not as it should be, and goes on.
func runBrowser(t *testing.T, script string, plan obj) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	data, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "node", script)
	cmd.Dir = "browser"
	cmd.Stdin = strings.NewReader(string(data))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if why, failed := strings.CutPrefix(lines.Text(), "FAIL: "); failed {
			t.Error(why)
		} else {
			t.Log(lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s: %v", script, err)
	}
}

// plan starts a model node for each number of peers, with a page by which the browser turns them.
func plan(t *testing.T, mode string, numbers ...int) obj {
	nodes, addresses := map[string]*modelNode{}, obj{}
	for _, n := range numbers {
		name := strconv.Itoa(n)
		nodes[name] = startModel(t, n, mode)
		addresses[name] = "http://" + nodes[name].address + "/"
	}
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		node := nodes[r.FormValue("node")]
		if node == nil {
			http.Error(w, "no such node", http.StatusNotFound)
		} else if r.URL.Path == "/asked" {
			node.mu.Lock()
			defer node.mu.Unlock()
			_ = json.NewEncoder(w).Encode(node.asked)
		} else if err := node.turn(r.FormValue("mode")); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}))
	t.Cleanup(control.Close)
	return obj{"nodes": addresses, "control": control.URL, "token": modelToken}
}

// shotsFolder is where the pictures go.
func shotsFolder(t *testing.T) string {
	dir := os.Getenv(shots)
	if dir == "" {
		dir = t.TempDir()
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// The page looks as the pictures say, in every view, size and theme, and breaks no rule of accessibility.
func TestLooks(t *testing.T) {
	f := form(t)
	if f == "bench" {
		t.Skip("only figures were asked for")
	}
	p := plan(t, "still", 0, 1, 36, 500)
	p["shots"], p["short"] = shotsFolder(t), f == "short"
	runBrowser(t, "looks.mjs", p)
}

// Nothing jumps while all changes, selections and focus survive, and the keys do what they say.
func TestBehaves(t *testing.T) {
	f := form(t)
	if f == "bench" {
		t.Skip("only figures were asked for")
	}
	t.Parallel() // it waits most of the time
	p := plan(t, "live", 36, 500)
	p["hostile"] = hostileNode(t)
	p["shots"], p["short"] = shotsFolder(t), f == "short"
	runBrowser(t, "behaves.mjs", p)
}

// A node that hangs, stops, refuses and returns is told apart.
func TestTruth(t *testing.T) {
	f := form(t)
	if f == "bench" {
		t.Skip("only figures were asked for")
	}
	t.Parallel() // it waits most of the time
	p := plan(t, "still", 36)
	p["shots"], p["short"] = shotsFolder(t), f == "short"
	runBrowser(t, "truth.mjs", p)
}

// 500 peers that all change each second cost at most a second of the main thread in five.
func TestCost(t *testing.T) {
	if form(t) != "bench" {
		t.Skip("`make page-bench` runs this on a quiet machine")
	}
	runBrowser(t, "cost.mjs", plan(t, "live", 36, 500))
}

// hostileNode is a node whose peers have names and reasons that try to be code, or to lie.
func hostileNode(t *testing.T) string {
	s := startModel(t, 36, "still")
	for _, p := range s.model.peers[:12] {
		p["moniker"], p["version"], p["kept"] = hostileName, hostileName, hostileName
		p["address"] = "/ip4/1.2.3.4/tcp/1/" + strings.Repeat("x", 300) + hostileName
	}
	for _, a := range s.model.attempts {
		a["reason"] = obj{"code": "limit", "text": hostileName + strings.Repeat("long", 200)}
		a["remedy"] = hostileName
	}
	for _, e := range s.model.events {
		e["kind"], e["text"] = "new-kind", hostileName+strings.Repeat("long", 100)
	}
	s.model.status["moniker"], s.model.status["network"] = hostileName, hostileName
	s.model.status["findings"] = []obj{{"code": "x", "severity": "warn", "text": hostileName,
		"remedy": "`" + hostileName}}
	for _, b := range s.model.bans {
		b["reason"] = hostileName
	}
	return "http://" + s.address + "/"
}
