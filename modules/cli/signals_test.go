package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

// hang is a program that the first signal does not end, in a process of its own: see TestSecondSignalQuits.
func hang() {
	defer watchSignals(func() { fmt.Println("first") }).end()
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

// TestIgnoredHangup shows that a node started with nohup outlives its terminal.
func TestIgnoredHangup(t *testing.T) {
	home := initHome(t)
	n := startCommandNode(t, home,
		exec.Command("sh", "-c", `trap "" HUP; exec "$0" start --home "$1" --log-format json`, program, home))
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	must(t, n.ask("status")...)
	if log, code := n.stop(syscall.SIGTERM); code != exitDone || strings.Count(log, `"msg":"stopping"`) != 1 {
		t.Errorf("exit code %d:\n%s", code, log)
	}
}

// TestClosedLog shows that a node outlives the reader of its log, and stops cleanly.
func TestClosedLog(t *testing.T) {
	home := initHome(t, "--set", "admin.address="+programtest.FreeAddress(t))
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd := exec.Command(program, "start", "--home", home, "--log-level", "debug")
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	_ = write.Close()
	for log := bufio.NewScanner(read); log.Scan() && !strings.Contains(log.Text(), "msg=ready"); {
	}
	_ = read.Close()
	must(t, "ban", "1.2.3.4", "--home", home)
	must(t, "status", "--home", home)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the node ended with %v", err)
	}
}

// TestManyPersistentPeers starts with 10,000 persistent peers, which a start must not look at one by one on disk, nor
// each with each.
func TestManyPersistentPeers(t *testing.T) {
	home := initHome(t)
	var list []string
	for i := range 10_000 {
		list = append(list, fmt.Sprintf(`"%040x@127.%d.%d.1:1"`, i+1, 1+i/250, i%250))
	}
	config := filepath.Join(home, configName)
	data, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	given := bytes.Replace(data, []byte("persistent = []"),
		[]byte("persistent = [\n"+strings.Join(list, ",\n")+"]"), 1)
	if err := os.WriteFile(config, given, 0o600); err != nil || bytes.Equal(given, data) {
		t.Fatal(err)
	}
	p := programtest.Launch(t, program, "start", "--home", home, "--log-format", "json")
	p.Await(t, 5*time.Second, "ready with 10,000 persistent peers",
		func(line string) bool { return strings.Contains(line, `"msg":"ready"`) })
	p.Stop(t)
}
