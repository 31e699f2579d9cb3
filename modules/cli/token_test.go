package cli

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/switchyard-p2p/switchyard/host/admin"
)

// TestWhoMayAct: the commands of the node's user act, over TCP with the token in the home and over a socket; others
// only read.
func TestWhoMayAct(t *testing.T) {
	n := startNode(t, initHome(t))
	file, err := os.ReadFile(filepath.Join(n.home, admin.TokenName))
	if err != nil || strings.TrimSpace(string(file)) != n.token || len(n.token) != 64 {
		t.Fatalf("the file has %q, the page %q, %v", file, n.token, err)
	}
	must(t, n.ask("ban", "192.0.2.1")...)
	r := call(t, n.ask("ban", "192.0.0.0/7")...)
	oneLine(t, r, exitFailed, "192.0.0.0/7 is wider than /8: banning it needs force (--force)")
	must(t, n.ask("ban", "192.0.0.0/7", "--force")...)
	answer, err := http.Post("http://"+n.admin+"/v1/ban", "application/json", strings.NewReader(`{"target":"1.2.3.4"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	if _ = answer.Body.Close(); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %s", answer.Status)
	}
	if err := os.Remove(filepath.Join(n.home, admin.TokenName)); err != nil {
		t.Fatal(err)
	}
	oneLine(t, call(t, n.ask("unban", "192.0.2.1")...), exitFailed, "this needs the token")
	must(t, n.ask("status")...)
	n.stop(syscall.SIGTERM)

	socket := "unix://" + filepath.Join(t.TempDir(), "s")
	n = startNode(t, n.home, "--set", "admin.address="+socket)
	for _, args := range [][]string{{"ban", "192.0.2.1"}, {"unban", "192.0.2.1"}, {"status"}} {
		must(t, append(args, "--home", n.home, "--set", "admin.address="+socket)...)
	}
	if n.token != "" {
		t.Errorf("a token for a socket: %q", n.token)
	}
	n.stop(syscall.SIGTERM)

	// A journal is kept, and others read it.
	cmd := exec.Command(program, "start", "--home", n.home, "--log-format", "json")
	cmd.Env = append(os.Environ(), "JOURNAL_STREAM=8:1")
	n = startCommandNode(t, n.home, cmd)
	log, _ := n.stop(syscall.SIGTERM)
	if n.token != "" || !strings.Contains(log, `"page":"http://`+n.admin+`/"`) {
		t.Errorf("the log of a node with a journal has the token: %s", log)
	}
}
