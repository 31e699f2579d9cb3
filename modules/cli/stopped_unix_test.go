//go:build unix

package cli

import (
	"syscall"
	"testing"
	"time"
)

// TestStoppedNode asks a node that hangs.
func TestStoppedNode(t *testing.T) {
	t.Parallel()
	n := startNode(t, initHome(t))
	if err := n.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	oneLine(t, call(t, n.ask("status")...), exitFailed, "it accepts connections, but does not answer in time")
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the call ended after %v", took)
	}
	if err := n.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if _, code := n.stop(syscall.SIGTERM); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}
