package cli

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ownDisk makes the test binary mount a small disk over a node's folder, fill it up to a remainder, and become the
// program. Its value is the folder, the size and the remainder in MiB. Only that process sees the disk.
const ownDisk = "SWITCHYARD_TEST_DISK" // in TestMain too

func fillDisk(plan string) {
	var home string
	var size, rest int
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, "no disk:", err)
		os.Exit(99)
	}
	if _, err := fmt.Sscan(plan, &home, &size, &rest); err != nil {
		fail(err)
	}
	files := map[string][]byte{}
	for _, name := range []string{"config.toml", "node_key.json"} {
		data, err := os.ReadFile(filepath.Join(home, name))
		if err != nil {
			fail(err)
		}
		files[name] = data
	}
	if err := syscall.Mount("tmpfs", home, "tmpfs", 0, fmt.Sprintf("size=%dm", size)); err != nil {
		fail(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(home, name), data, 0o600); err != nil {
			fail(err)
		}
	}
	if rest < size {
		if err := os.WriteFile(filepath.Join(home, "ballast"), make([]byte, (size-rest)<<20), 0o600); err != nil {
			fail(err)
		}
	}
	fail(syscall.Exec(os.Args[1], os.Args[1:], os.Environ()))
}

// onDisk runs the program on a disk of its own, in a user namespace, so that no rights are needed.
func onDisk(home string, size, rest int, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], append([]string{program}, args...)...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d", ownDisk, home, size, rest))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	return cmd
}

// TestFullDisk fills the disk of a node: before it starts, which it refuses in one line; and while it runs, when it
// reports that it cannot write, keeps changes in memory, and writes them once there is room.
func TestFullDisk(t *testing.T) {
	home := initHome(t)
	var stderr bytes.Buffer
	cmd := onDisk(home, 128, 32, "start", "--home", home)
	cmd.Stderr = &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() == 99 {
		t.Skipf("this machine lets nobody mount a disk in a namespace of his own: %v %s", err, stderr.String())
	}
	oneLine(t, result{err: stderr.String(), code: cmd.ProcessState.ExitCode()}, exitFailed,
		"too little disk space: no space left on device: 31 MiB free, 64 MiB needed")

	n := startCommandNode(t, home, onDisk(home, 256, 256, "start", "--home", home, "--log-format", "json"))
	client := n.client()
	ban := func(i int) error {
		_, err := client.Ban(t.Context(), fmt.Sprintf("%040x", i), time.Hour, "full")
		return err
	}
	if err := ban(1); err != nil {
		t.Fatal(err)
	}
	inside := filepath.Join("/proc", fmt.Sprint(n.cmd.Process.Pid), "root", home)
	var disk syscall.Statfs_t
	if err := syscall.Statfs(inside, &disk); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(inside, "ballast")
	if err := os.WriteFile(ballast, make([]byte, int64(disk.Bavail)*int64(disk.Bsize)-16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ban(2); err == nil || !strings.Contains(err.Error(), "too little disk space") {
		t.Errorf("a ban on a full disk: %v", err)
	}
	if text := get(t, "http://"+n.admin+"/metrics"); strings.Contains(text, "switchyard_store_errors_total 0") {
		t.Error("the error is not counted")
	}
	const failing = "health      bad: the peer store cannot write to the disk, and keeps changes in memory: "
	if out := must(t, n.ask("status")...); !strings.Contains(out, failing) {
		t.Errorf("status does not say so:\n%s", out)
	}
	if bans, err := client.Bans(t.Context()); err != nil || len(bans) != 2 {
		t.Errorf("%d bans hold, want 2 (%v)", len(bans), err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := ban(3); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if out := must(t, n.ask("status")...); strings.Contains(out, "store-failing") {
		t.Errorf("status says that the disk is full:\n%s", out)
	}
	log, code := n.stop(syscall.SIGTERM)
	if code != exitDone || strings.Contains(log, "missing") {
		t.Errorf("exit code %d\n%s", code, log)
	}
}
