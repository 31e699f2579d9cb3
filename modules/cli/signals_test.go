package cli

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hang is a program that the first signal does not end, in a process of its own: see TestSecondSignalQuits.
func hang() {
	defer onSignals(func() { fmt.Println("first") })()
	fmt.Println("ready")
	select {}
}

func TestSecondSignalQuits(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SWITCHYARD_TEST_HANG=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	expect := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, want %q", lines.Text(), want)
		}
	}
	expect("ready")
	began := time.Now()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	expect("first")
	// A second signal that comes at once counts as the same; a later one quits.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case <-ended:
			if took := time.Since(began); took < sameSignal {
				t.Errorf("ended after %v", took)
			}
			if code := cmd.ProcessState.ExitCode(); code != exitFailed {
				t.Errorf("exit code %d", code)
			}
			return
		case <-tick.C:
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
	}
}

func TestSignalsStopTheNode(t *testing.T) {
	home := initHome(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		n := startNode(t, home)
		log, code := n.stop(sig)
		if code != exitDone || n.stderr.Len() > 0 {
			t.Errorf("%v: exit code %d, stderr %q", sig, code, n.stderr.String())
		}
		for _, want := range []string{`"msg":"listening"`, `"msg":"stopping"`, `"msg":"stopped"`} {
			if !strings.Contains(log, want) {
				t.Errorf("%v: the log has no %s:\n%s", sig, want, log)
			}
		}
	}
}
