package interop

import (
	"testing"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

// programs are the programs under test.
var programs programtest.Builds

// switchyardProgram is our real program.
func switchyardProgram(t *testing.T) string { return programs.Get(t, "../..", programtest.Ours) }

// cometbftProgram is CometBFT's node, of the version that go.mod names.
func cometbftProgram(t *testing.T) string {
	return programs.Get(t, ".", "github.com/cometbft/cometbft/cmd/cometbft")
}

// ask runs our program and reads the JSON that it prints.
func ask[T any](t *testing.T, args ...string) T {
	t.Helper()
	return programtest.Ask[T](t, switchyardProgram(t), args...)
}

// refuse runs our program, which has to fail.
func refuse(t *testing.T, args ...string) programtest.Failed {
	t.Helper()
	return programtest.Refuse(t, switchyardProgram(t), args...)
}

// nodeDir is the folder of a node of ours that runs as a program, and a client of its admin API.
type nodeDir struct {
	*programtest.NodeDir
	client *admin.Client
}

// newNodeDir makes one that listens on a free TCP port.
func newNodeDir(t *testing.T, network, moniker string, sets ...string) *nodeDir {
	t.Helper()
	args := []string{"--listen", "/ip4/127.0.0.1/tcp/0"}
	for _, s := range sets {
		args = append(args, "--set", s)
	}
	y := &nodeDir{NodeDir: programtest.NewNodeDir(t, switchyardProgram(t), network, moniker, args...)}
	var err error
	if y.client, err = admin.NewClient(y.Admin); err != nil {
		t.Fatal(err)
	}
	return y
}

// peers are the links of the running node.
func (y *nodeDir) peers(t *testing.T) []admin.Peer {
	t.Helper()
	return ask[[]admin.Peer](t, "peers", "--json", "--home", y.Home)
}
