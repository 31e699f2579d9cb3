//go:build compat

package hosts

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

const kuboVersion = "v0.43.0"

// kubo is the IPFS program, with a repository of its own. Building it takes minutes, so `make compat` runs its tests.
type kubo struct {
	program, repo string
	id            string
	listen        map[string]string // by transport
}

// call runs one command of it.
func (k *kubo) call(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	out, err := k.command(ctx, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ipfs %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (k *kubo) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, k.program, args...)
	cmd.Env = append(os.Environ(), "IPFS_PATH="+k.repo, "IPFS_TELEMETRY=off")
	return cmd
}

// startKubo runs a daemon without bootstrap peers on loopback until the test ends.
func startKubo(t *testing.T) *kubo {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "..", ".cache", "compat", "kubo-"+kuboVersion))
	if err != nil {
		t.Fatal(err)
	}
	k := &kubo{program: filepath.Join(dir, "ipfs"), repo: t.TempDir(), listen: map[string]string{}}
	if _, err := os.Stat(k.program); err != nil {
		buildKubo(t, k.program)
	}
	k.call(t, "init", "--profile=test")
	k.call(t, "bootstrap", "rm", "--all")
	_, port, err := net.SplitHostPort(programtest.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	k.listen["tcp"], k.listen["quic"] = "/ip4/127.0.0.1/tcp/"+port, "/ip4/127.0.0.1/udp/"+port+"/quic-v1"
	k.call(t, "config", "--json", "Addresses.Swarm", fmt.Sprintf("[%q,%q]", k.listen["tcp"], k.listen["quic"]))
	k.call(t, "config", "--json", "AutoTLS.Enabled", "false")
	k.id = k.call(t, "config", "Identity.PeerID")

	daemon := programtest.LaunchCommand(t, k.command(context.Background(), "daemon"))
	if !daemon.Await(t, testTimeout, "the daemon is ready",
		func(line string) bool { return line == "Daemon is ready" }) {
		t.Fatalf("kubo ended at once:\n%s", daemon.Tail())
	}
	t.Cleanup(func() {
		daemon.Stop(t)
		if t.Failed() {
			t.Logf("kubo wrote:\n%s", daemon.Tail())
		}
	})
	return k
}

// buildKubo builds the program from a copy of its module: as its go.mod excludes versions, go install does not take it.
func buildKubo(t *testing.T, program string) {
	t.Helper()
	source := t.TempDir()
	var module struct{ Dir string }
	out, err := exec.Command("go", "mod", "download", "-json", "github.com/ipfs/kubo@"+kuboVersion).Output()
	if err == nil {
		err = json.Unmarshal(out, &module)
	}
	if err == nil {
		err = os.CopyFS(source, os.DirFS(module.Dir))
	}
	if err != nil {
		t.Fatalf("download kubo: %v\n%s", err, out)
	}
	cmd := exec.Command("go", "build", "-mod=mod", "-ldflags", "-s -w", "-o", program, "./cmd/ipfs")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build kubo: %v\n%s", err, out)
	}
}

// TestKubo checks that our program and kubo find, ping and keep each other over TCP and QUIC, dialed from either end.
func TestKubo(t *testing.T) {
	k := startKubo(t)
	for name, listen := range k.listen {
		t.Run("visit over "+name, func(t *testing.T) {
			address := listen + "/p2p/" + k.id
			d := ask[programtest.Dialed](t, "dial", address, "--json")
			if !d.OK || d.PeerID != k.id || d.Transport != name || !strings.HasPrefix(d.Info.Version, "kubo/") ||
				!slices.Contains(d.Info.Protocols, "/ipfs/bitswap/1.2.0") {
				t.Errorf("dial: %+v", d)
			}
			r := ask[programtest.Trips](t, "ping", address, "--json", "--count", "3", "--interval", "0s")
			if !r.OK || r.Count != 3 {
				t.Errorf("ping: %+v", r)
			}
		})
	}
	for name, want := range map[string]admin.Peer{
		"tcp":  {Transport: "tcp", Security: "tls", Muxer: "yamux"}, // it prefers TLS
		"quic": {Transport: "quic", Security: "tls", Muxer: "quic"},
	} {
		t.Run("visited over "+name, func(t *testing.T) {
			y := newNodeDir(t)
			y.start(t)
			k.call(t, "swarm", "connect", y.Listen[name].String()+"/p2p/"+y.peerID.String())
			if out := k.call(t, "ping", "-n", "3", y.peerID.String()); strings.Count(out, "Pong received") != 3 {
				t.Errorf("ipfs ping: %s", out)
			}
			if out := k.call(t, "id", y.peerID.String()); !strings.Contains(out, "switchyard/") ||
				!strings.Contains(out, "/ipfs/ping/1.0.0") {
				t.Errorf("ipfs id: %s", out)
			}
			var p admin.Peer
			node.Await(t, "the link is 7 s old", func() bool {
				peers := ask[[]admin.Peer](t, "peers", "--json", "--home", y.Home)
				if len(peers) != 1 {
					t.Fatalf("the program lists %+v", peers)
				}
				p = peers[0]
				return p.Connected > 7
			})
			if p.PeerID != k.id || !p.Guest || p.Direction != admin.Inbound || p.Transport != want.Transport ||
				p.Security != want.Security || p.Muxer != want.Muxer {
				t.Errorf("the program lists %+v", p)
			}
		})
	}
	t.Run("dialed by a running node", func(t *testing.T) {
		y := newNodeDir(t, fmt.Sprintf("peers.persistent=[%q]", k.listen["quic"]+"/p2p/"+k.id))
		y.start(t)
		node.Await(t, "the program holds a link to kubo", func() bool {
			peers := ask[[]admin.Peer](t, "peers", "--json", "--home", y.Home)
			return len(peers) == 1 && peers[0].PeerID == k.id && peers[0].Direction == admin.Outbound &&
				peers[0].Trusted
		})
		if out := k.call(t, "swarm", "peers"); !strings.Contains(out, y.peerID.String()) {
			t.Errorf("ipfs swarm peers: %s", out)
		}
	})
}
