//go:build unix

package live

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// console is a pseudo terminal, and what a program writes to it.
type console struct {
	master, slave *os.File
	reading       sync.WaitGroup

	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newConsole(t *testing.T, width, height uint16) *console {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(master, &pty.Winsize{Cols: width, Rows: height}); err != nil {
		t.Fatal(err)
	}
	c := &console{master: master, slave: slave, more: make(chan struct{}, 1)}
	c.reading.Go(func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			c.mu.Lock()
			c.text.Write(b[:n])
			c.mu.Unlock()
			select {
			case c.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		_ = slave.Close()
		_ = master.Close()
		c.reading.Wait()
	})
	return c
}

func (c *console) written() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// wait waits until the program has written texts, one after the other.
func (c *console) wait(t *testing.T, texts ...string) {
	t.Helper()
	late := time.NewTimer(30 * time.Second)
	defer late.Stop()
	has := func() bool {
		all := c.written()
		for _, text := range texts {
			at := strings.Index(all, text)
			if at < 0 {
				return false
			}
			all = all[at+len(text):]
		}
		return true
	}
	for !has() {
		select {
		case <-c.more:
		case <-late.C:
			t.Fatalf("no %q in %q", texts, c.written())
		}
	}
}

func (c *console) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := io.WriteString(c.master, keys); err != nil {
		t.Fatal(err)
	}
}

const (
	altOn, altOff = "\x1b[?1049h", "\x1b[?1049l"
	showCursor    = "\x1b[?25h"
)

// On a real terminal the program takes the alternate screen, draws, acts on keys, and on q gives the screen and the
// terminal's modes back and prints the last state.
func TestTerminal(t *testing.T) {
	c := newConsole(t, 80, 24)
	before, err := term.GetState(int(c.slave.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	data, did, ended := make(chan Demo, 1), make(chan Action, 1), make(chan error, 1)
	data <- demoOf(8, 4)
	o := Output{In: c.slave, Out: c.slave, Env: []string{"TERM=xterm-256color", "LANG=C.UTF-8"}}
	go func() {
		ended <- Show(t.Context(), o, NewDemo("switchyard"), data, func(_ context.Context, a Action) string {
			did <- a
			return "it is done"
		})
	}()
	c.wait(t, altOn)
	c.wait(t, "libp2p tcp")
	if strings.Contains(c.written(), altOff) {
		t.Error("it left the alternate screen")
	}
	c.press(t, "k")
	if a := <-did; a != (Kill{1}) {
		t.Errorf("k: %v", a)
	}
	c.wait(t, "it is done")
	if err := pty.Setsize(c.master, &pty.Winsize{Cols: 120, Rows: 30}); err != nil {
		t.Fatal(err)
	}
	// A signal tells the program of its process group alone: the test has none on this terminal.
	c.press(t, "q")
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	c.wait(t, altOff, "8 nodes start")
	text := c.written()
	at := strings.LastIndex(text, altOff)
	if at < 0 || strings.LastIndex(text, altOn) > at || !strings.Contains(text, showCursor) {
		t.Errorf("the screen is not given back: %q", text)
	}
	last := text[max(at, 0):]
	if !strings.Contains(last, "all linked in 1.9 s") || !strings.Contains(last, "stopped 4 s ago") {
		t.Errorf("the last state: %q", last)
	}
	after, err := term.GetState(int(c.slave.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if *before != *after {
		t.Errorf("modes: %v, were %v", after, before)
	}
}

// With NO_COLOR, whatever its value, there are no colours; in a locale without UTF-8 there is only ASCII.
func TestTerminalPlainLooks(t *testing.T) {
	c := newConsole(t, 80, 24)
	data, ended := make(chan Demo, 1), make(chan error, 1)
	data <- demoOf(8, 4)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	o := Output{In: c.slave, Out: c.slave, Env: []string{"TERM=xterm-256color", "LANG=C", "NO_COLOR=yes"}}
	go func() { ended <- Show(ctx, o, NewDemo("switchyard"), data, nil) }()
	c.wait(t, "libp2p tcp")
	stop() // as the first signal does
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	c.wait(t, altOff, "8 nodes start")
	text := c.written()
	for _, code := range []string{"\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[34m", "\x1b[36m"} {
		if strings.Contains(text, code) {
			t.Errorf("a colour: %q", code)
		}
	}
	for _, r := range text {
		if r >= 0x80 {
			t.Errorf("not ASCII: %q", r)
			break
		}
	}
	if !strings.Contains(text, altOff) {
		t.Error("the screen is not given back")
	}
}

// Without a change nothing is written.
func TestTerminalIsQuiet(t *testing.T) {
	c := newConsole(t, 80, 24)
	data, ended := make(chan Node, 1), make(chan error, 1)
	n := nodeOf(1)                      // the library draws lines with wide characters again at each change
	n.Heard = time.Now().Add(time.Hour) // so that no age changes
	n.Since = n.Heard
	for i := range n.Peers {
		n.Peers[i].Since = n.Heard
	}
	data <- n
	o := Output{In: c.slave, Out: c.slave, Env: []string{"TERM=xterm-256color", "LANG=C.UTF-8"}}
	go func() { ended <- Show(t.Context(), o, NewPeers("switchyard"), data, nil) }()
	c.wait(t, "validat")
	c.press(t, "d") // so that all before has been written
	c.wait(t, "y/N")
	c.press(t, "n")
	c.wait(t, "nothing done")
	size := len(c.written())
	for range 4 { // each is passed on with the next drawing
		data <- n
	}
	c.press(t, "q")
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	c.wait(t, altOff)
	text := c.written()[size:]
	if before, _, ok := strings.Cut(text, altOff); !ok || strings.Contains(before, "validator") {
		t.Errorf("written though nothing has changed: %q", text)
	}
}

func TestNotATerminal(t *testing.T) {
	for _, tt := range []struct {
		out  Output
		want []string
	}{
		{Output{Env: []string{"LANG=C.UTF-8"}}, []string{"  0:12  7 of 8 nodes up", "\n\n switchyard demo", "▸"}},
		{Output{JSON: true}, []string{`{"time":"2026-11-30T12:41:07Z"`, `"state":"stopped"`}},
	} {
		var b bytes.Buffer
		tt.out.Out = &b
		data := make(chan Demo, 1)
		data <- demoOf(8, 4)
		go close(data)
		if err := Show(t.Context(), tt.out, NewDemo("switchyard"), data, nil); err != nil {
			t.Fatal(err)
		}
		for i, want := range tt.want {
			if got := strings.Contains(b.String(), want); got != (want != "▸") {
				t.Errorf("%d: %q in %q: %v", i, want, b.String(), got)
			}
		}
		if strings.Contains(b.String(), "\x1b") {
			t.Errorf("escapes in %q", b.String())
		}
	}
}
