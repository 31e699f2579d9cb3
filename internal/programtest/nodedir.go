package programtest

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

// starting is how long a node may take to be ready.
const starting = 20 * time.Second

// NodeDir is the folder of a node of ours that runs as a program.
type NodeDir struct {
	Identity
	Program string
	Home    string
	Admin   string // host:port

	// Listen has the listen addresses of the last start, by transport: "tcp", "quic".
	Listen map[string]ma.Multiaddr
}

// NewNodeDir makes a folder with `switchyard init` and these further arguments. The admin API gets a free port.
func NewNodeDir(t testing.TB, program, network, moniker string, args ...string) *NodeDir {
	t.Helper()
	d := &NodeDir{Program: program, Home: t.TempDir(), Admin: FreeAddress(t)}
	args = append([]string{"init", "--home", d.Home, "--network", network, "--moniker", moniker, "--set",
		"admin.address=" + d.Admin}, args...)
	if r := Call(t, program, args...); r.Code != 0 || r.Err != "" {
		t.Fatalf("init: code %d, %s%s", r.Code, r.Out, r.Err)
	}
	d.Identity = Ask[Identity](t, program, "id", "--json", "--home", d.Home)
	return d
}

// Launch runs `switchyard start` without waiting for it. SWITCHYARD_LOG=1 in the environment turns on the debug log.
func (d *NodeDir) Launch(t testing.TB, sets ...string) *Process {
	t.Helper()
	args := []string{"start", "--home", d.Home, "--log-format", "json"}
	for _, s := range sets {
		args = append(args, "--set", s)
	}
	if os.Getenv("SWITCHYARD_LOG") != "" {
		args = append(args, "--log-level", "debug")
	}
	return Launch(t, d.Program, args...)
}

// Start launches the node and waits until it is ready.
func (d *NodeDir) Start(t testing.TB, sets ...string) *Process {
	t.Helper()
	p := d.Launch(t, sets...)
	d.Ready(t, p)
	return p
}

// Ready waits until the node logs that it is ready, and records where it listens.
func (d *NodeDir) Ready(t testing.TB, p *Process) {
	t.Helper()
	up := p.Await(t, starting, "the node is ready", func(line string) bool {
		var l struct {
			Msg    string   `json:"msg"`
			NodeID string   `json:"node_id"`
			Listen []string `json:"listen"`
		}
		if json.Unmarshal([]byte(line), &l) != nil || l.Msg != "ready" {
			return false
		}
		d.Listen = map[string]ma.Multiaddr{}
		for _, text := range l.Listen {
			m, err := ma.NewMultiaddr(text)
			if err != nil || l.NodeID != d.NodeID {
				t.Fatalf("ready: %s (%v)", line, err)
			}
			name := "tcp"
			if _, err := m.ValueForProtocol(ma.P_QUIC_V1); err == nil {
				name = "quic"
			}
			d.Listen[name] = m
		}
		return true
	})
	if !up {
		t.Fatalf("the node did not start:\n%s", p.Tail())
	}
}

// TCP returns host:port of the node's TCP address.
func (d *NodeDir) TCP(t testing.TB) string {
	t.Helper()
	m := d.Listen["tcp"]
	if m == nil {
		t.Fatal("the node does not listen on TCP")
	}
	ip, err := m.ValueForProtocol(ma.P_IP4)
	if err != nil {
		t.Fatal(err)
	}
	port, err := m.ValueForProtocol(ma.P_TCP)
	if err != nil {
		t.Fatal(err)
	}
	return ip + ":" + port
}

// Address returns the node's id@host:port.
func (d *NodeDir) Address(t testing.TB) string {
	t.Helper()
	return d.NodeID + "@" + d.TCP(t)
}
