package programtest

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stopping is how long a program may take to end after SIGTERM.
const stopping = 20 * time.Second

// Process is a program that runs beside the test. It is killed at the end of the test, by its process id.
type Process struct {
	Name string
	Done <-chan struct{} // closed once it has ended
	cmd  *exec.Cmd
	out  *output
}

// Launch starts a program.
func Launch(t testing.TB, program string, args ...string) *Process {
	t.Helper()
	return LaunchCommand(t, exec.Command(program, args...))
}

// LaunchCommand starts a command and records its output.
func LaunchCommand(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	done := make(chan struct{})
	p := &Process{Name: cmd.Path, cmd: cmd, Done: done, out: &output{more: make(chan struct{})}}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	dieWithUs(p.cmd)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(done)
	}()
	t.Cleanup(p.Kill)
	return p
}

// Kill ends the process with SIGKILL.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.Done
}

// Stop ends the process with SIGTERM, and expects a clean end.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("%s has ended too early: %v\n%s", p.Name, p.cmd.ProcessState, p.Tail())
	}
	select {
	case <-p.Done:
	case <-time.After(stopping):
		p.Kill()
		t.Fatalf("%s did not end within %v of SIGTERM:\n%s", p.Name, stopping, p.Tail())
	}
	if code := p.Code(); code != 0 {
		t.Fatalf("%s ended with code %d:\n%s", p.Name, code, p.Tail())
	}
}

// Signal sends a signal to the process.
func (p *Process) Signal(t testing.TB, sig os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("%s has ended too early: %v\n%s", p.Name, p.cmd.ProcessState, p.Tail())
	}
}

// Code returns the exit code of a process that has ended.
func (p *Process) Code() int { return p.cmd.ProcessState.ExitCode() }

// Await waits for a line that ok accepts. It returns false if the process ends first.
func (p *Process) Await(t testing.TB, bound time.Duration, what string, ok func(line string) bool) bool {
	t.Helper()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	for ended := false; ; {
		lines, more := p.out.lines()
		for _, l := range lines {
			if ok(l) {
				return true
			}
		}
		if ended {
			return false
		}
		select {
		case <-more:
		case <-p.Done:
			ended = true
		case <-timer.C:
			t.Fatalf("%s: not within %v: %s\n%s", p.Name, bound, what, p.Tail())
		}
	}
}

// Lines returns the complete lines of its output so far.
func (p *Process) Lines() []string {
	lines, _ := p.out.lines()
	return lines
}

// Tail returns the end of the output, for a failure's message.
func (p *Process) Tail() string {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	return string(p.out.text[max(0, len(p.out.text)-4000):])
}

// output records what a process writes.
type output struct {
	mu   sync.Mutex
	text []byte
	more chan struct{} // closed and renewed at each write
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	close(o.more)
	o.more = make(chan struct{})
	return len(p), nil
}

// lines returns all complete lines so far; more is closed when there is more.
func (o *output) lines() (lines []string, more <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	whole := o.text[:bytes.LastIndexByte(o.text, '\n')+1]
	return strings.Split(strings.TrimSuffix(string(whole), "\n"), "\n"), o.more
}
