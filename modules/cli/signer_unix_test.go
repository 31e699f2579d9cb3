//go:build unix

package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

// logLine returns a check for programtest.Process.Await: a line of the log with this message.
func logLine(msg string) func(string) bool {
	return func(line string) bool {
		var l struct {
			Msg string `json:"msg"`
		}
		return json.Unmarshal([]byte(line), &l) == nil && l.Msg == msg
	}
}

// signerAt launches `switchyard signer` and waits until it is ready.
func signerAt(t *testing.T, home, at string, args ...string) *programtest.Process {
	t.Helper()
	p := programtest.Launch(t, program,
		append([]string{"signer", "--home", home, "--listen", at, "--log-format", "json"}, args...)...)
	if !p.Await(t, limit, "the signer is ready", logLine("ready")) {
		t.Fatalf("the signer did not start:\n%s", p.Tail())
	}
	return p
}

// dialed is what `switchyard dial --json` prints of a success.
type dialed struct {
	OK     bool   `json:"ok"`
	NodeID string `json:"node_id"`
	Wire   string `json:"wire"`
	Secure string `json:"security"`
}

// A node runs with its key in a signer, over all its wires, through the deaths of either.
func TestNodeAndSigner(t *testing.T) {
	dir, err := os.MkdirTemp("", "signer-") // a path that is short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	at := "unix://" + filepath.Join(dir, "run", "signer.sock")
	keeper := initHome(t)
	var own programtest.Identity
	mustJSON(t, &own, "id", "--json", "--home", keeper)

	nodeHome := initHome(t, "--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--set", "identity.signer="+at, "--set",
		"limits.handshake_timeout=2s")
	if _, err := os.Stat(filepath.Join(nodeHome, "node_key.json")); err == nil {
		t.Fatal("init has made a key")
	}
	visitor := func(security string) string {
		return initHome(t, "--set", fmt.Sprintf("stack.security=[%q]", security))
	}
	homes := map[string]string{"noise": visitor("noise"), "tls": visitor("tls")}

	node := &programtest.NodeDir{Program: program, Home: nodeHome, Identity: own}
	// The node is early, and says so.
	early := node.Launch(t)
	if !early.Await(t, limit, "it waits for the signer", logLine("waiting for the signer")) {
		t.Fatalf("the node did not wait:\n%s", early.Tail())
	}
	early.Stop(t)

	p := node.Launch(t)
	keeping := signerAt(t, keeper, at)
	node.Ready(t, p)
	var asked programtest.Identity
	if mustJSON(t, &asked, "id", "--json", "--home", nodeHome); asked != own {
		t.Errorf("the node is %+v, the signer %+v", asked, own)
	}

	addresses := func() map[string][]string {
		tcp, quic := node.Listen["tcp"].String(), node.Listen["quic"].String()
		return map[string][]string{
			"secretconn": {"dial", node.Address(t), "--network", "test-net", "--json"},
			"noise":      {"dial", tcp + "/p2p/" + own.PeerID, "--home", homes["noise"], "--json"},
			"tls":        {"dial", tcp + "/p2p/" + own.PeerID, "--home", homes["tls"], "--json"},
			"quic":       {"dial", quic + "/p2p/" + own.PeerID, "--network", "test-net", "--json"},
		}
	}
	reach := func(when string, without ...string) {
		t.Helper()
		for name, args := range addresses() {
			if strings.Contains(strings.Join(without, " "), name) {
				if r := call(t, args...); r.code != 1 {
					t.Errorf("%s, over %s: code %d, %s", when, name, r.code, r.out)
				}
				continue
			}
			r := call(t, args...)
			var d dialed
			if err := json.Unmarshal([]byte(r.out), &d); err != nil || !d.OK || d.NodeID != own.NodeID ||
				d.Secure != name && (name != "quic" || d.Secure != "tls") {
				t.Errorf("%s, over %s: code %d, %s%s", when, name, r.code, r.out, r.err)
			}
		}
	}
	reach("with the signer")
	keeping.Kill()
	reach("without the signer", "secretconn")
	keeping = signerAt(t, keeper, at) // over the socket that the killed one left behind
	reach("with another signer")
	keeping.Signal(t, syscall.SIGSTOP)
	reach("with a signer that hangs", "secretconn")
	keeping.Signal(t, syscall.SIGCONT)
	reach("with a signer that goes on")

	p.Kill()
	p = node.Start(t)
	reach("after the node was killed")
	keeping.Stop(t)
	reach("without the signer once more", "secretconn")
	keeping = signerAt(t, keeper, at, "--allow", "pubsub")
	reach("with the last signer")
	p.Stop(t)
	keeping.Stop(t)
	if tail := keeping.Tail(); !strings.Contains(tail, `"msg":"stopped","signed":`) {
		t.Errorf("the signer ended with\n%s", tail)
	}

	// The key of QUIC's resets is a file of the node, not a signature.
	info, err := os.Stat(filepath.Join(nodeHome, "quic_reset_key"))
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 32 {
		t.Errorf("%v, %v", info, err)
	}
}

// What `signer`, and a node with one, are called with wrongly.
func TestSignerUsage(t *testing.T) {
	home := initHome(t)
	for _, tt := range []struct {
		code int
		says string
		args []string
	}{
		{2, "--listen is missing", []string{"signer", "--home", home}},
		{2, "plain connection", []string{"signer", "--home", home, "--listen", "tcp://127.0.0.1:1"}},
		{2, "belong to tls://", []string{"signer", "--home", home, "--listen", "tls://127.0.0.1:0"}},
		{2, "belong to tls://", []string{"signer", "--home", home, "--listen", "unix:///a/b", "--tls-ca", "x"}},
		{2, "want pubsub", []string{"signer", "--home", home, "--listen", "unix:///a/b", "--allow", "all"}},
		{1, "there is no such file", []string{"signer", "--home", t.TempDir(), "--listen", "unix:///a/b"}},
		{1, "chmod 700", []string{"signer", "--home", home, "--listen", "unix:///tmp/signer.sock"}},
		{2, "plain connection", []string{"start", "--home", home, "--set", "identity.signer=tcp://127.0.0.1:1"}},
		{1, "identity.signer_ca", []string{"start", "--home", home, "--set", "identity.signer=tls://127.0.0.1:1"}},
		{2, "names none", []string{"start", "--home", home, "--set", "identity.signer_key=x"}},
		{1, "in a signer", []string{"dial", "127.0.0.1:1", "--home", initHome(t, "--set",
			"identity.signer=unix:///a/b"), "--own-key"}},
	} {
		r := call(t, tt.args...)
		if r.code != tt.code || !strings.Contains(r.err, tt.says) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v: code %d, %q", tt.args, r.code, r.err)
		}
	}
}
