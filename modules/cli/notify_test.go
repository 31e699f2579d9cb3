package cli

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServiceManager runs a node below a service manager that wants to hear of it.
func TestServiceManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	expect := func(want string) {
		t.Helper()
		buf := make([]byte, 1000)
		if err := manager.SetReadDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		for {
			n, err := manager.Read(buf)
			if err != nil {
				t.Fatalf("no %s: %v", want, err)
			}
			got, _, _ := strings.Cut(string(buf[:n]), "\n")
			if got == want {
				return
			}
			if got != "WATCHDOG=1" {
				t.Fatalf("%q, want %s", buf[:n], want)
			}
		}
	}
	home := initHome(t)
	cmd := exec.Command(program, "start", "--home", home, "--log-format", "json")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=100000")
	n := startCommandNode(t, home, cmd)
	expect("READY=1")
	expect("WATCHDOG=1")
	expect("WATCHDOG=1")
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	expect("RELOADING=1")
	expect("READY=1")
	if log, code := n.stop(syscall.SIGTERM); code != exitDone {
		t.Errorf("exit code %d:\n%s", code, log)
	}
	expect("STOPPING=1")
}

func TestNotifier(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		want notifier
	}{
		{nil, notifier{}},
		{map[string]string{"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000"}, notifier{"/x", 15 * time.Second}},
		{map[string]string{"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "x"}, notifier{"@x", 0}},
		{map[string]string{"WATCHDOG_USEC": "2", "WATCHDOG_PID": "1"}, notifier{}},
		{map[string]string{"WATCHDOG_USEC": "2", "WATCHDOG_PID": fmt.Sprint(os.Getpid())},
			notifier{"", time.Microsecond}},
	} {
		if got := newNotifier(func(k string) string { return tt.env[k] }); got != tt.want {
			t.Errorf("%v: %+v, want %+v", tt.env, got, tt.want)
		}
	}
	notifier{}.reloading()
	notifier{socket: "/there/is/no/such/socket"}.ready()
}
