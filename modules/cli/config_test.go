package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/switchyard-p2p/switchyard/host/admin"
)

// callEnv is call with variables.
func callEnv(t *testing.T, env []string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(append(os.Environ(), "HOME="+t.TempDir(), "GORACE=atexit_sleep_ms=0"), env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// edit changes the configuration of a home.
func edit(t *testing.T, home, old, new string) {
	t.Helper()
	path := filepath.Join(home, configName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), old, new, 1)
	if text == string(data) {
		t.Fatalf("%s has no %q", path, old)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCheck(t *testing.T) {
	home := initHome(t)
	if out := must(t, "check", "--home", home); !strings.HasPrefix(out, "ok: ") || strings.Count(out, "\n") != 1 {
		t.Errorf("printed %q", out)
	}
	for _, tt := range []struct {
		env  []string
		args []string
		code int
		want string
	}{
		{nil, []string{"--set", "peers.guests=x"}, exitUsage, "--set: peers.guests: want a whole number"},
		{[]string{"SWITCHYARD_PEERS_GUESTS=x"}, nil, exitUsage, "$SWITCHYARD_PEERS_GUESTS: peers.guests: want a whole"},
		{nil, []string{"--set", "identity.key=config.toml"}, exitFailed, "node key"},
		{nil, []string{"--set", "peers.as_map=no"}, exitUsage, "peers.as_map"},
		{nil, []string{"--set", "stack.transports=quic", "--set", "listen.addresses=/ip4/127.0.0.1/udp/0/quic-v1",
			"--set", "peers.persistent=0123456789abcdef0123456789abcdef01234567@10.0.0.1:26656"}, exitUsage,
			"peers.persistent"},
		{nil, []string{"--set", "log.level=loud"}, exitUsage, "log.level"},
	} {
		r := callEnv(t, tt.env, append([]string{"check", "--home", home}, tt.args...)...)
		if r.code != tt.code || !strings.Contains(r.err, tt.want) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v %v: %+v", tt.env, tt.args, r)
		}
	}
	r := callEnv(t, []string{"SWITCHYARD_PEERS_GUEST=1", "SWITCHYARD_HOME=" + home}, "check")
	if r.code != exitDone || !strings.Contains(r.out, "warning: the variable SWITCHYARD_PEERS_GUEST sets no key (did "+
		"you mean SWITCHYARD_PEERS_GUESTS?)\nok: ") {
		t.Errorf("%+v", r)
	}
	edit(t, home, "max_outbound = 8", "max_outbond = 8")
	r = call(t, "check", "--json", "--home", home)
	var c checked
	if err := json.Unmarshal([]byte(r.out), &c); err != nil || r.code != exitFailed || c.OK ||
		c.Key != "peers.max_outbond" || !strings.HasPrefix(c.Where, filepath.Join(home, configName)+":") ||
		!strings.Contains(c.Error, "did you mean max_outbound?") {
		t.Errorf("%+v: %+v, %v", r, c, err)
	}
	if _, err := os.Stat(filepath.Join(home, "data")); !os.IsNotExist(err) {
		t.Errorf("check made a store: %v", err)
	}
}

func TestConfigCommand(t *testing.T) {
	home := initHome(t)
	env := []string{"SWITCHYARD_HOME=" + home, "SWITCHYARD_PEERS_GUESTS=3"}
	r := callEnv(t, env, "config", "--set", "peers.anchors=5")
	if r.code != exitDone || !strings.Contains(r.out, "\nguests = 3 ") || !strings.Contains(r.out, "\nanchors = 5 ") {
		t.Errorf("%+v", r)
	}
	r = callEnv(t, env, "config", "peers", "--set", "peers.anchors=5")
	for _, want := range []string{"\npeers.guests", " 3 ", "SWITCHYARD_PEERS_GUESTS", "--set", "config.toml:", "live"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s", want, r.out)
		}
	}
	var settings []admin.Setting
	if mustJSON(t, &settings, "config", "--effective", "--json", "--home", home); len(settings) < 60 {
		t.Errorf("%d settings", len(settings))
	}
	if r := call(t, "config", "peers.no", "--home", home); r.code != exitUsage || !strings.Contains(r.err, "no key") {
		t.Errorf("%+v", r)
	}
}

// TestReloadNode changes the file of a running node, and reloads it by command and by SIGHUP.
func TestReloadNode(t *testing.T) {
	home := initHome(t)
	n := startNode(t, home)
	value := func(key string) string {
		var settings []admin.Setting
		mustJSON(t, &settings, n.ask("config", key, "--running", "--json")...)
		return valueText(settings[0].Value) + " " + settings[0].From
	}
	if out := must(t, n.ask("reload")...); out != "nothing has changed\n" {
		t.Errorf("printed %q", out)
	}
	edit(t, home, "max_outbound = 8", "max_outbound = 5")
	edit(t, home, "prefer_quic = true", "prefer_quic = false")
	out := must(t, n.ask("reload")...)
	if !strings.Contains(out, "applied          peers.max_outbound\n") ||
		!strings.Contains(out, "needs a restart  peers.prefer_quic\n") || value("peers.max_outbound") != "5 file" ||
		value("peers.prefer_quic") != "true file" {
		t.Errorf("printed %q", out)
	}
	edit(t, home, "max_outbound = 5", "max_outbound = -5")
	r := call(t, n.ask("reload")...)
	if r.code != exitFailed || !strings.Contains(r.err, "peers.max_outbound: -5 is not in") ||
		strings.Count(r.err, "\n") != 1 || value("peers.max_outbound") != "5 file" {
		t.Errorf("%+v", r)
	}
	edit(t, home, "max_outbound = -5", "max_outbound = 6")
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "SIGHUP reloads", func() bool { return value("peers.max_outbound") == "6 file" })
	if dumpSignal != nil {
		if err := n.cmd.Process.Signal(dumpSignal); err != nil {
			t.Fatal(err)
		}
	}
	must(t, n.ask("healthz")...)
	log, code := n.stop(syscall.SIGTERM)
	for _, want := range []string{`"msg":"reloaded","part":"config","applied":"peers.max_outbound"`,
		`"msg":"the configuration was not reloaded, nothing has changed"`, `"msg":"goroutines"`, `"state":"select"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %s:\n%s", want, log)
		}
	}
	if code != exitDone {
		t.Errorf("exit code %d", code)
	}
	if r := call(t, n.ask("healthz", "--json")...); r.code != exitFailed || !strings.Contains(r.out, `"ok": false`) {
		t.Errorf("%+v", r)
	}
}

// TestOperate runs the commands that act on a running node.
func TestOperate(t *testing.T) {
	a, b := startNode(t, initHome(t)), startNode(t, initHome(t, "--moniker", "bert"))
	out := must(t, a.ask("connect", b.address())...)
	if out != "connected to "+b.id+" bert over comet/tcp/secretconn/mconn\n" {
		t.Errorf("printed %q", out)
	}
	if out := must(t, a.ask("store", "list")...); !strings.Contains(out, b.id[:8]) {
		t.Errorf("printed\n%s", out)
	}
	r := call(t, append(a.ask("__complete", "disconnect"), "")...)
	if !strings.HasPrefix(r.out, b.id+"\tbert 127.0.0.1\n") {
		t.Errorf("completion printed %q", r.out)
	}
	if r := call(t, a.ask("forget", b.id)...); r.code != exitFailed || !strings.Contains(r.err, "linked") {
		t.Errorf("a peer that is linked: %+v", r)
	}
	must(t, a.ask("disconnect", b.id)...)
	eventually(t, "the end of the link is an event", func() bool {
		return strings.Contains(must(t, a.ask("events")...), b.id[:8]+" is down after")
	})
	var first admin.Event
	lines := strings.SplitAfter(must(t, a.ask("events", "--json", "--since", "1h")...), "\n")
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || first.Seq == 0 {
		t.Errorf("the first event: %q, %v", lines[0], err)
	}
	later := must(t, a.ask("events", "--since", fmt.Sprint(first.Seq))...)
	if n := strings.Count(later, "\n"); n < len(lines)-2 || strings.Contains(later, fmt.Sprint(first.Seq, " ")) {
		t.Errorf("%d events after the first of %d:\n%s", n, len(lines)-1, later)
	}
	follow := exec.CommandContext(t.Context(), program, a.ask("events", "--follow")...)
	stream, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	must(t, a.ask("ban", "10.9.9.9")...)
	for seen := bufio.NewScanner(stream); seen.Scan() && !strings.Contains(seen.Text(), "10.9.9.9"); {
	}
	if err := errors.Join(follow.Process.Signal(os.Interrupt), follow.Wait()); err != nil {
		t.Errorf("events --follow ended with %v", err)
	}
	must(t, a.ask("unban", "10.9.9.9")...)
	dead := strings.Repeat("d", 40)
	if r := call(t, a.ask("connect", dead+"@127.0.0.1:1")...); r.code != exitFailed {
		t.Errorf("%+v", r)
	}
	if out := must(t, a.ask("waiting")...); !strings.Contains(out, dead) {
		t.Errorf("printed %q", out)
	}
	if out := must(t, a.ask("clear", dead)...); out != "may be dialed again: "+dead+"\n" {
		t.Errorf("printed %q", out)
	}
	eventually(t, "the peer is forgotten", func() bool { return call(t, a.ask("forget", dead)...).code == exitDone })
	if out := must(t, a.ask("bans")...); out != "no bans\n" {
		t.Errorf("printed %q", out)
	}
	must(t, a.ask("ban", "10.1.2.3", "--for", "1h", "--reason", "a test")...)
	if out := must(t, a.ask("bans")...); !strings.Contains(out, "10.1.2.3/32") && !strings.Contains(out, "10.1.2.3 ") {
		t.Errorf("printed %q", out)
	}
	for _, tt := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "names no node", []string{"connect", "127.0.0.1:1"}},
		{exitFailed, "connection refused", []string{"connect", dead + "@127.0.0.1:1"}},
		{exitUsage, "disconnect: ID is missing", []string{"disconnect"}},
		{exitUsage, "--timeout 0s", []string{"bans", "--timeout", "0s"}},
		{exitUsage, "--since \"soon\"", []string{"events", "--since", "soon"}},
		{exitUsage, "--limit 0", []string{"store", "list", "--limit", "0"}},
	} {
		if r := call(t, a.ask(tt.args...)...); r.code != tt.code || !strings.Contains(r.err, tt.want) ||
			strings.Count(r.err, "\n") != 1 {
			t.Errorf("%v: %+v", tt.args, r)
		}
	}
}
