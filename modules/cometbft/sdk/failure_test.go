package sdk_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cosmos/cosmos-sdk/server"
	"github.com/cosmos/cosmos-sdk/server/types"
	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/cometbft"
	"github.com/switchyard-p2p/switchyard/modules/cometbft/sdk"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

// breaker is a service of Switchyard that fails at SIGUSR1.
type breaker struct{}

func (breaker) Run(ctx context.Context) error {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	defer signal.Stop(c)
	select {
	case <-c:
		return errors.New("broken by a signal")
	case <-ctx.Done():
		return nil
	}
}

// addBreakable is what a chain with options of its own calls. Its Switchyard has a breaker.
func addBreakable(root *cobra.Command, home string, newApp types.AppCreator, export types.AppExporter,
	_ types.ModuleInitFlags) {
	plugins := modules.With(standard.Plugins(), modules.Service("breaker",
		func() (none struct{}) { return none },
		func(struct{}, *host.Host, *slog.Logger) (breaker, error) { return breaker{}, nil }).OnByDefault())
	server.AddCommandsWithStartCmdOptions(root, home, newApp, export,
		sdk.StartCmdOptions(server.StartCmdOptions{}, cometbft.Options{Plugins: plugins}))
}

// If Switchyard fails, the program ends with its error.
func TestSwitchyardFails(t *testing.T) {
	w := newNetwork(t, "breakable")
	m := w.members[0]
	m.launch(t)
	w.reach(1)
	if err := m.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	m.ends(t, "broken by a signal")
}

// A node that cannot listen ends the program with an error.
func TestPortTaken(t *testing.T) {
	w := newNetwork(t, "ours")
	m := w.members[0]
	l, err := net.Listen("tcp", m.p2p)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m.launch(t)
	m.ends(t, "address already in use")
}

// So does a server beside the node.
func TestServerFails(t *testing.T) {
	w := newNetwork(t, "ours")
	m := w.members[0]
	l, err := net.Listen("tcp", m.api)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m.launch(t)
	m.ends(t, "address already in use")
}

// ends waits until a member's process has ended with an error that it prints.
func (m *member) ends(t *testing.T, why string) {
	t.Helper()
	select {
	case <-m.process.Done:
	case <-time.After(time.Minute):
		t.Fatalf("the process has not ended:\n%s", m.process.Tail())
	}
	if code, out := m.process.Code(), m.process.Tail(); code != 1 || !strings.Contains(out, "ERROR: ") ||
		!strings.Contains(out, why) {
		t.Fatalf("code %d:\n%s", code, out)
	}
}
