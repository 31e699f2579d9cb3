//go:build compat

package hosts

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

// jsReleases lists the js-libp2p nodes that `make compat` installs. Their QUIC is quinn, in Rust.
var jsReleases = []struct {
	name       string
	agent      string // how its agent string begins
	transport  string
	securities []string
	packages   []string
}{
	{"1.9", "libp2p/1.9.4", "tcp", []string{"noise"},
		[]string{"libp2p@1.9.4", "@libp2p/tcp@9.1.6", "@libp2p/identify@2.1.5", "@libp2p/ping@1.1.6",
			"@chainsafe/libp2p-noise@15.1.2", "@chainsafe/libp2p-yamux@6.0.2"}},
	{"2.10", "js-libp2p/2.10.0", "tcp", []string{"noise", "tls"},
		[]string{"libp2p@2.10.0", "@libp2p/tcp@10.1.19", "@libp2p/tls@2.2.7", "@libp2p/identify@3.0.39",
			"@libp2p/ping@2.0.37", "@chainsafe/libp2p-noise@16.1.5", "@chainsafe/libp2p-yamux@7.0.4"}},
	{"2.10-quic", "js-libp2p/2.10.0", "quic", []string{"noise"},
		[]string{"libp2p@2.10.0", "@chainsafe/libp2p-quic@1.1.8", "@libp2p/identify@3.0.39",
			"@libp2p/ping@2.0.37", "@chainsafe/libp2p-noise@16.1.5", "@chainsafe/libp2p-yamux@7.0.4"}},
	{"3.3", "js-libp2p/3.3.11", "tcp", []string{"noise", "tls"},
		[]string{"libp2p@3.3.11", "@libp2p/tcp@11.0.28", "@libp2p/tls@3.1.10", "@libp2p/identify@4.1.14",
			"@libp2p/ping@3.1.13", "@chainsafe/libp2p-noise@17.0.0", "@chainsafe/libp2p-yamux@8.0.1"}},
}

// installJS puts the packages of a release, and release.mjs, into a folder.
func installJS(t *testing.T, name string, packages []string) (dir string) {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "..", ".cache", "compat", "js-libp2p-"+name))
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(filepath.Join("..", "jspeer", "release.mjs"))
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "release.mjs"), program, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	installed, list := filepath.Join(dir, ".installed"), strings.Join(packages, "\n")
	if was, err := os.ReadFile(installed); err == nil && string(was) == list {
		return dir
	}
	cmd := exec.Command("npm", append([]string{"install", "--prefix", dir, "--no-audit", "--no-fund",
		"--loglevel=error"}, packages...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("install js-libp2p %s: %v\n%s", name, err, out)
	}
	if err := os.WriteFile(installed, []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestJSReleases links our program and other releases of js-libp2p over each of their securities and transports, dialed
// from either end.
func TestJSReleases(t *testing.T) {
	for _, r := range jsReleases {
		dir := installJS(t, r.name, r.packages)
		for _, security := range r.securities {
			t.Run(r.name+" "+security, func(t *testing.T) {
				js := func(ctx context.Context, args ...string) *exec.Cmd {
					cmd := exec.CommandContext(ctx, "node",
						append([]string{"release.mjs", security, r.transport}, args...)...)
					cmd.Dir = dir
					return cmd
				}
				t.Run("we dial", func(t *testing.T) { visitJS(t, js(context.Background()), r.agent) })
				t.Run("they dial", func(t *testing.T) {
					y := newNodeDir(t, "services.echo.enabled=true")
					y.start(t)
					ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
					defer cancel()
					out, err := js(ctx, y.Listen[r.transport].String()+"/p2p/"+y.peerID.String()).Output()
					var found struct {
						Peer, Agent, Error string
						Protocols          []string
						Echoed             int
					}
					if err == nil {
						err = json.Unmarshal(out, &found)
					}
					if err != nil || found.Error != "" || found.Peer != y.peerID.String() ||
						!strings.HasPrefix(found.Agent, "switchyard/") || found.Echoed != 1<<20 ||
						!slices.Contains(found.Protocols, node.Echo) {
						t.Errorf("js-libp2p found %+v: %v", found, err)
					}
				})
			})
		}
	}
}

// visitJS lets our program dial and ping a node, and get bytes echoed.
func visitJS(t *testing.T, cmd *exec.Cmd, agent string) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	js := programtest.LaunchCommand(t, cmd)
	t.Cleanup(func() { _ = stdin.Close() })
	var self struct {
		Peer   string
		Listen []string
	}
	if !js.Await(t, testTimeout, "js-libp2p listens", func(line string) bool {
		return json.Unmarshal([]byte(line), &self) == nil
	}) {
		t.Fatalf("js-libp2p ended at once:\n%s", js.Tail())
	}
	d := ask[programtest.Dialed](t, "dial", self.Listen[0], "--json")
	if !d.OK || d.PeerID != self.Peer || !strings.HasPrefix(d.Info.Version, agent) ||
		!slices.Contains(d.Info.Protocols, node.Echo) {
		t.Errorf("dial: %+v", d)
	}
	r := ask[programtest.Trips](t, "ping", self.Listen[0], "--json", "--count", "3", "--interval", "0s")
	if !r.OK || r.Count != 3 {
		t.Errorf("ping: %+v", r)
	}
	r = ask[programtest.Trips](t, "echo", self.Listen[0], "--json", "--size", "1000000", "--count", "3")
	if !r.OK || r.Count != 3 {
		t.Errorf("echo: %+v", r)
	}
}
