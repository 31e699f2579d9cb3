package interop

import (
	"path/filepath"
	"testing"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

// programs holds the programs under test.
var programs programtest.Builds

// switchyardProgram builds our program.
func switchyardProgram(t *testing.T) string { return programs.Get(t, "../..", programtest.Ours) }

// cometbftProgram builds CometBFT's node, of the version that go.mod names.
func cometbftProgram(t *testing.T) string {
	return programs.Get(t, ".", "github.com/cometbft/cometbft/cmd/cometbft")
}

// ask runs our program and parses the JSON that it prints.
func ask[T any](t *testing.T, args ...string) T {
	t.Helper()
	return programtest.Ask[T](t, switchyardProgram(t), args...)
}

// refuse runs our program, which must fail.
func refuse(t *testing.T, args ...string) programtest.Failed {
	t.Helper()
	return programtest.Refuse(t, switchyardProgram(t), args...)
}

// nodeDir is the folder of a node that runs as a program, with a client of its admin API.
type nodeDir struct {
	*programtest.NodeDir
	client *admin.Client
}

// newNodeDir makes the folder of a node that listens on a free TCP port.
func newNodeDir(t *testing.T, network, moniker string, sets ...string) *nodeDir {
	t.Helper()
	args := []string{"--listen", "/ip4/127.0.0.1/tcp/0"}
	for _, s := range sets {
		args = append(args, "--set", s)
	}
	y := &nodeDir{NodeDir: programtest.NewNodeDir(t, switchyardProgram(t), network, moniker, args...)}
	token := filepath.Join(y.Home, admin.TokenName)
	var err error
	if y.client, err = admin.NewClient(y.Admin, admin.WithTokenFile(token)); err != nil {
		t.Fatal(err)
	}
	return y
}

// peers returns the links of the running node.
func (y *nodeDir) peers(t *testing.T) []admin.Peer {
	t.Helper()
	return ask[[]admin.Peer](t, "peers", "--json", "--home", y.Home)
}
