//go:build unix

package pagetest

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

var programs programtest.Builds

func TestMain(m *testing.M) {
	code := m.Run()
	programs.Remove()
	os.Exit(code)
}

// The page of a real node: it dials, disconnects and bans with the token of the start, nothing without it, and follows
// the node through a pause, a stop and a new start.
func TestRealNode(t *testing.T) {
	if form(t) == "bench" {
		t.Skip("only figures were asked for")
	}
	t.Parallel() // it waits most of the time
	program := programs.Get(t, "../..", programtest.Ours)
	start := func(moniker string) (*programtest.NodeDir, *programtest.Process) {
		d := programtest.NewNodeDir(t, program, "page-net", moniker,
			"--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1")
		return d, d.Start(t)
	}
	ours, process := start("ours")
	theirs, _ := start("theirs")
	token := func() string {
		b, err := os.ReadFile(filepath.Join(ours.Home, "admin.token"))
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(string(b))
	}
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.FormValue("mode") {
		case "pause":
			process.Signal(t, syscall.SIGSTOP)
		case "resume":
			process.Signal(t, syscall.SIGCONT)
		case "stop":
			process.Stop(t)
		case "back":
			process = ours.Start(t)
			_, _ = w.Write([]byte(token()))
		default:
			http.Error(w, "no such mode", http.StatusBadRequest)
		}
	}))
	t.Cleanup(control.Close)
	runBrowser(t, "real.mjs", obj{"page": "http://" + ours.Admin + "/", "token": token(), "control": control.URL,
		"address": theirs.Address(t), "id": theirs.NodeID, "shots": shotsFolder(t)})
}
