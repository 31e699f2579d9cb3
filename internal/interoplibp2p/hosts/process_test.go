package hosts

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

// programs holds the programs under test.
var programs programtest.Builds

// ourProgram builds our program.
func ourProgram(t *testing.T) string { return programs.Get(t, "../../..", programtest.Ours) }

// ask runs our program and parses the JSON that it prints.
func ask[T any](t *testing.T, args ...string) T {
	t.Helper()
	return programtest.Ask[T](t, ourProgram(t), args...)
}

// refuse runs our program, which must fail.
func refuse(t *testing.T, args ...string) programtest.Failed {
	t.Helper()
	return programtest.Refuse(t, ourProgram(t), args...)
}

const nodeNetwork = "program-test"

// nodeDir is the folder of a node that runs as a program.
type nodeDir struct {
	*programtest.NodeDir
	peerID peer.ID
}

// newNodeDir makes the folder of a node that listens on a free port of each transport.
func newNodeDir(t *testing.T, sets ...string) *nodeDir {
	t.Helper()
	args := []string{"--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"}
	for _, s := range sets {
		args = append(args, "--set", s)
	}
	y := &nodeDir{NodeDir: programtest.NewNodeDir(t, ourProgram(t), nodeNetwork, "the-program", args...)}
	var err error
	if y.peerID, err = peer.Decode(y.PeerID); err != nil {
		t.Fatal(err)
	}
	return y
}

// start runs the node until the test ends, and expects exit code 0.
func (y *nodeDir) start(t *testing.T) {
	t.Helper()
	p := y.Start(t)
	t.Cleanup(func() { p.Stop(t) })
}
