package cli

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestPassedSocket: the admin API is served on a socket that systemd has made and passes, whose mode and file stay.
func TestPassedSocket(t *testing.T) {
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Skip("systemd-socket-activate: not on this machine")
	}
	home := initHome(t)
	socket := filepath.Join(t.TempDir(), "admin")
	// start returns once systemd listens; the program starts with the first connection. What it says comes at its end.
	start := func(name, address string) (*exec.Cmd, <-chan string) {
		t.Helper()
		cmd := exec.Command(activate, "--listen", socket, "--fdname", name, program, "start", "--home", home, "--set",
			"admin.address="+address)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "Listening on") {
		}
		said := make(chan string, 1)
		go func() {
			var all strings.Builder
			for lines.Scan() {
				all.WriteString(lines.Text() + "\n")
			}
			said <- all.String()
		}()
		return cmd, said
	}
	set := []string{"--home", home, "--set", "admin.address=unix://" + socket}

	cmd, said := start("admin", "unix://"+socket)
	must(t, append([]string{"status"}, set...)...)
	must(t, append([]string{"ban", "192.0.2.1"}, set...)...)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil { // it has become the node
		t.Fatal(err)
	}
	log := <-said
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, log)
	}
	if _, err := os.Stat(socket); err != nil {
		t.Errorf("the node took the socket of systemd away: %v", err)
	}
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}

	for want, c := range map[string][2]string{ // what is not meant is refused, before anything runs
		`passed a socket "p2p": this program takes one of the name admin`: {"p2p", "unix://" + socket},
		`admin.address = "" turns that off`:                               {"admin", ""},
	} {
		cmd, said := start(c[0], c[1])
		asked := exec.Command(program, append([]string{"status", "--timeout", "3s"}, set...)...)
		_ = asked.Run() // it starts the node
		log := <-said
		if err := cmd.Wait(); err == nil || !strings.Contains(log, want) {
			t.Errorf("%v: %s, want %q", err, log, want)
		}
		_ = os.Remove(socket)
	}
}

// Variables that are meant for another process, or make no sense.
func TestPassedSocketVariables(t *testing.T) {
	for _, c := range []struct{ pid, count, want string }{
		{"", "", ""}, {"1", "1", ""}, {"self", "x", "want a number"}, {"self", "-1", "want a number"},
		{"self", "17", "want a number"}, {"self", "0", ""},
	} {
		if c.pid == "self" {
			c.pid = strconv.Itoa(os.Getpid())
		}
		t.Setenv("LISTEN_PID", c.pid)
		t.Setenv("LISTEN_FDS", c.count)
		t.Setenv("LISTEN_FDNAMES", "admin")
		ln, err := passedSocket()
		if ln != nil || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, %v", c, ln, err)
		}
		if _, left := os.LookupEnv("LISTEN_FDS"); left {
			t.Error("the variables are left to children")
		}
	}
}
