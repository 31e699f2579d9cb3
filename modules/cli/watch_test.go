//go:build unix

package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// liveCall is a command that goes on until a key or a signal ends it.
type liveCall struct {
	cmd  *exec.Cmd
	keys io.Writer // nil without a terminal

	mu   sync.Mutex
	text bytes.Buffer
	done chan struct{} // closed when all of it is read
}

// startLive runs the program, on a terminal of its own if size is set.
func startLive(t *testing.T, size *pty.Winsize, args ...string) *liveCall {
	t.Helper()
	c := &liveCall{cmd: exec.Command(program, args...), done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "TERM=xterm-256color", "LC_ALL=C.UTF-8",
		"GORACE=atexit_sleep_ms=0")
	var out io.ReadCloser
	if size != nil {
		f, err := pty.StartWithSize(c.cmd, size)
		if err != nil {
			t.Fatal(err)
		}
		out, c.keys = f, f
	} else {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		c.cmd.Stdout, c.cmd.Stderr, out = w, w, r
		if err := c.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
	}
	go func() {
		defer close(c.done)
		b := make([]byte, 4096)
		for {
			n, err := out.Read(b)
			c.mu.Lock()
			c.text.Write(b[:n])
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		if c.cmd.ProcessState == nil {
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
		}
		<-c.done
		_ = out.Close()
	})
	return c
}

func (c *liveCall) written() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// end waits until the program has ended, and returns all that it has written.
func (c *liveCall) end(t *testing.T) string {
	t.Helper()
	late := time.AfterFunc(limit, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, c.written())
	}
	<-c.done
	return c.written()
}

// On a terminal the demo forms a network, and q gives the screen back with the last state on it.
func TestDemoOnATerminal(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	c := startLive(t, &pty.Winsize{Cols: 120, Rows: 30}, "demo", "--nodes", "4", "--quiet-story")
	eventually(t, "the network is formed", func() bool { return strings.Contains(c.written(), "linked in ") })
	if _, err := io.WriteString(c.keys, "s"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an item is in all nodes", func() bool { return strings.Contains(c.written(), "in 4 of 4 nodes") })
	if _, err := io.WriteString(c.keys, "q"); err != nil {
		t.Fatal(err)
	}
	_, last, ok := strings.Cut(c.end(t), "\x1b[?1049l")
	if !ok || !strings.Contains(last, "switchyard demo   4 nodes") || !strings.Contains(last, "4 nodes stopped in") {
		t.Errorf("the last state: %q", last)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A watch shows what the node says, tells that it has stopped, and goes on when it is back.
func TestWatch(t *testing.T) {
	n := startNode(t, initHome(t))
	args := func(command ...string) []string { return n.ask(append(command, "--watch")...) }
	for _, command := range []string{"status", "peers"} {
		c := startLive(t, nil, args(command, "--json")...)
		eventually(t, "a line of "+command, func() bool { return strings.Contains(c.written(), "\n") })
		_ = c.cmd.Process.Signal(syscall.SIGINT)
		first, _, _ := strings.Cut(c.end(t), "\n")
		if !json.Valid([]byte(first)) || command == "status" && !strings.Contains(first, n.id) {
			t.Errorf("%s: %q", command, first)
		}
	}
	c := startLive(t, nil, args("peers")...)
	eventually(t, "a line", func() bool { return strings.Contains(c.written(), "0 peers (0 out, 0 in;") })
	onScreen := startLive(t, &pty.Winsize{Cols: 80, Rows: 24}, args("status")...)
	eventually(t, "the node id", func() bool { return strings.Contains(onScreen.written(), n.id) })
	n.stop(syscall.SIGTERM)
	const stopped = "the node has stopped"
	eventually(t, stopped, func() bool { return strings.Contains(c.written(), stopped) })
	eventually(t, stopped, func() bool { return strings.Contains(onScreen.written(), stopped) })
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	c.end(t)
	_, _ = io.WriteString(onScreen.keys, "q")
	if _, last, ok := strings.Cut(onScreen.end(t), "\x1b[?1049l"); !ok || !strings.Contains(last, n.id) {
		t.Errorf("the last state: %q", last)
	}
	oneLine(t, call(t, args("status")...), exitFailed, "no node answers")
}
