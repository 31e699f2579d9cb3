package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/host/admin"
)

// program is the binary under test, built once.
var program string

func TestMain(m *testing.M) {
	if os.Getenv("SWITCHYARD_TEST_HANG") != "" {
		hang()
	}
	if plan := os.Getenv("SWITCHYARD_TEST_DISK"); plan != "" {
		fillDisk(plan)
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // nodes of tests under nohup would ignore it, too
	dir, err := os.MkdirTemp("", "switchyard-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "switchyard")
	args := []string{"build", "-o", program}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "../../cmd/switchyard")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// limit bounds every call of the program.
const limit = 60 * time.Second

// result is the outcome of a call.
type result struct {
	out, err string
	code     int
}

// call runs the program until it ends.
func call(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), // no real node is touched
		"GORACE=atexit_sleep_ms=0")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("switchyard %s: %v", strings.Join(args, " "), err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must is call for a call that has to succeed with an empty stderr.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := call(t, args...)
	if r.code != 0 || r.err != "" {
		t.Fatalf("switchyard %s: exit code %d, stderr %q", strings.Join(args, " "), r.code, r.err)
	}
	return r.out
}

// mustJSON is must for a call that prints JSON.
func mustJSON(t *testing.T, into any, args ...string) {
	t.Helper()
	out := must(t, args...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("switchyard %s printed %q: %v", strings.Join(args, " "), out, err)
	}
}

// node is a running `switchyard start`.
type node struct {
	t       *testing.T
	cmd     *exec.Cmd
	home    string
	id      string
	peerID  string
	listen  string // host:port of the first listen address
	listens []string
	admin   string // host:port
	token   string // of its admin API
	stderr  bytes.Buffer
	log     chan string // the whole log, once the process has ended
}

// initHome makes a node's folder that listens on free ports.
func initHome(t *testing.T, args ...string) string {
	t.Helper()
	home := t.TempDir()
	must(t, append([]string{"init", "--home", home, "--network", "test-net", "--listen", "/ip4/127.0.0.1/tcp/0",
		"--set", "admin.address=127.0.0.1:0"}, args...)...)
	return home
}

// startNode runs a node until the test ends, or until stop.
func startNode(t *testing.T, home string, args ...string) *node {
	t.Helper()
	return startCommandNode(t, home,
		exec.Command(program, append([]string{"start", "--home", home, "--log-format", "json"}, args...)...))
}

// startCommandNode is startNode with a command of its own.
func startCommandNode(t *testing.T, home string, cmd *exec.Cmd) *node {
	t.Helper()
	n := &node{t: t, home: home, cmd: cmd, log: make(chan string, 1)}
	n.cmd.Stderr = &n.stderr
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n.cmd.ProcessState == nil {
			_ = n.cmd.Process.Kill()
			<-n.log
			_ = n.cmd.Wait()
		}
	})
	ready := make(chan bool, 1)
	go func() {
		var all strings.Builder
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			fmt.Fprintln(&all, lines.Text())
			var l struct {
				Msg    string   `json:"msg"`
				NodeID string   `json:"node_id"`
				PeerID string   `json:"peer_id"`
				Listen []string `json:"listen"`
				Admin  string   `json:"admin"`
				Page   string   `json:"page"`
			}
			if json.Unmarshal(lines.Bytes(), &l) == nil && l.Msg == "ready" {
				n.id, n.peerID, n.admin = l.NodeID, l.PeerID, l.Admin
				_, n.token, _ = strings.Cut(l.Page, "#token=")
				n.listens = l.Listen
				if len(l.Listen) > 0 {
					n.listen = strings.Replace(strings.TrimPrefix(l.Listen[0], "/ip4/"), "/tcp/", ":", 1)
				}
				ready <- true
			}
		}
		_, _ = io.Copy(io.Discard, stdout)
		n.log <- all.String()
		close(ready)
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case ok := <-ready:
		if !ok {
			_ = n.cmd.Wait()
			t.Fatalf("the node ended before it was ready: %s", n.stderr.String())
		}
	case <-timer.C:
		t.Fatal("the node is not ready in time")
	}
	return n
}

func (n *node) address() string { return n.id + "@" + n.listen }

func (n *node) port() string { return n.listen[strings.LastIndexByte(n.listen, ':')+1:] }

// quic returns the node's address over QUIC, which must be its second listen address.
func (n *node) quic() string { return n.listens[1] + "/p2p/" + n.peerID }

// libp2p returns the node's address for that wire.
func (n *node) libp2p() string { return "/ip4/127.0.0.1/tcp/" + n.port() + "/p2p/" + n.peerID }

// ask adds the arguments with which a command reaches the node's admin API.
func (n *node) ask(args ...string) []string {
	return append(args, "--home", n.home, "--set", "admin.address="+n.admin)
}

// client returns a client of the node's admin API, with its token.
func (n *node) client() *admin.Client {
	n.t.Helper()
	c, err := admin.NewClient(n.admin, admin.WithToken(n.token))
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

// stop ends the node with a signal and returns its log and exit code.
func (n *node) stop(sig syscall.Signal) (string, int) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(sig); err != nil {
		n.t.Fatal(err)
	}
	log := <-n.log
	_ = n.cmd.Wait()
	return log, n.cmd.ProcessState.ExitCode()
}

// eventually repeats check until it succeeds.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !check() {
		if <-tick.C; time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
