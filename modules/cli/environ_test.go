package cli

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInitWithVariables writes the variables that set keys into a new configuration; flags come before them, and what
// is there already stays.
func TestInitWithVariables(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	env := []string{"SWITCHYARD_HOME=" + home, "SWITCHYARD_NETWORK=from-env", "SWITCHYARD_MONIKER=from-env",
		"SWITCHYARD_PEERS_MAX_OUTBOUND=3", "SWITCHYARD_PEERS_MAX_OUTBOND=4"}
	r := callEnv(t, env, "init", "--moniker", "from-flag")
	if r.code != exitDone || !strings.Contains(r.err, "SWITCHYARD_NETWORK, SWITCHYARD_MONIKER, "+
		"SWITCHYARD_PEERS_MAX_OUTBOUND\n") || !strings.Contains(r.err, "SWITCHYARD_PEERS_MAX_OUTBOND sets no key") {
		t.Errorf("%+v", r)
	}
	text, err := os.ReadFile(filepath.Join(home, configName))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nnetwork = \"from-env\"", "\nmoniker = \"from-flag\"", "\nmax_outbound = 3"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in the file", want)
		}
	}
	if r := callEnv(t, []string{"SWITCHYARD_HOME=" + home, "SWITCHYARD_NETWORK=other"}, "init"); r.code != exitDone ||
		!strings.Contains(r.out, "from-env") {
		t.Errorf("a home that is there: %+v", r)
	}
	r = callEnv(t, []string{"SWITCHYARD_PEERS_GUESTS=many"}, "init", "--home", filepath.Join(t.TempDir(), "h"))
	oneLine(t, r, exitUsage, "$SWITCHYARD_PEERS_GUESTS")
}

// TestVisitorsUseTheHomeOfTheVariable claims the network of the home that SWITCHYARD_HOME names, with its key if that
// is wanted; a folder without a node does no harm.
func TestVisitorsUseTheHomeOfTheVariable(t *testing.T) {
	t.Parallel()
	n := startNode(t, initHome(t, "--network", "net-a", "--set", "services.echo.enabled=true"))
	other, same := initHome(t, "--network", "net-b"), initHome(t, "--network", "net-a")
	for _, command := range []string{"dial", "ping", "echo"} {
		r := callEnv(t, []string{"SWITCHYARD_HOME=" + other}, command, n.address(), "--json")
		if r.code != exitFailed || !strings.Contains(r.out, "net-b") {
			t.Errorf("%s with the home of another network: %+v", command, r)
		}
		for _, home := range []string{same, t.TempDir()} {
			r := callEnv(t, []string{"SWITCHYARD_HOME=" + home}, command, n.address(), "--json")
			if r.code != exitDone {
				t.Errorf("%s: %+v", command, r)
			}
		}
	}
	if r := callEnv(t, []string{"SWITCHYARD_HOME=" + same}, "dial", n.address(), "--own-key"); r.code != exitDone {
		t.Errorf("with the key of the home: %+v", r)
	}
	oneLine(t, callEnv(t, []string{"SWITCHYARD_HOME=" + t.TempDir()}, "dial", n.address(), "--own-key"), exitUsage,
		"--own-key needs")
}

// TestIDOfASilentSigner asks a signer that takes the connection and says nothing.
func TestIDOfASilentSigner(t *testing.T) {
	at := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	home := initHome(t, "--set", "identity.signer=unix://"+at)
	oneLine(t, call(t, "id", "--home", home, "--timeout", "300ms"), exitFailed, "(--timeout 300ms)")
	oneLine(t, call(t, "id", "--home", home, "--timeout", "0s"), exitUsage, "--timeout")
}

// TestCrawlCompletes offers the networks of the homes that are there.
func TestCrawlCompletes(t *testing.T) {
	home := initHome(t, "--network", "net-of-home")
	want := call(t, "__complete", "dial", "--home", home, "--network", "").out
	if got := call(t, "__complete", "crawl", "--home", home, "--network", "").out; got != want ||
		!strings.Contains(got, "net-of-home") {
		t.Errorf("crawl: %q, dial: %q", got, want)
	}
}
