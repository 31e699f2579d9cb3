//go:build linux

package programtest

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

const aloneEnv = "SWITCHYARD_TEST_ALONE"

// Alone runs the calling test once more in a process that has a network of its own: a loopback interface, and the
// interface d0 that takes multicasts, with the address 10.99.0.1/24. In that process it returns true; in the other one
// it returns false, and the test has nothing left to do. It needs root and the command ip, and skips the test without.
func Alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(aloneEnv) == t.Name() {
		for _, args := range [][]string{{"link", "set", "lo", "up"},
			{"link", "add", "d0", "type", "veth", "peer", "name", "d1"},
			{"address", "add", "10.99.0.1/24", "dev", "d0"}, {"link", "set", "d0", "up", "multicast", "on"},
			{"link", "set", "d1", "up"}, {"route", "add", "224.0.0.0/4", "dev", "d0"}} {
			if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
				t.Fatalf("ip %v: %v %s", args, err, out)
			}
		}
		return true
	}
	if _, err := exec.LookPath("ip"); err != nil || os.Getuid() != 0 {
		t.Skip("it needs root and the command ip")
	}
	own := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	try := exec.Command("ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1")
	try.SysProcAttr = own
	if out, err := try.CombinedOutput(); err != nil {
		t.Skipf("this machine lets us make no networks: %v %s", err, out)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	cmd.SysProcAttr = own
	cmd.Env = append(os.Environ(), aloneEnv+"="+t.Name())
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	return false
}
