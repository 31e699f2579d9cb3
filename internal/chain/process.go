package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running program with a process group of its own.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// launch starts a program; what it prints is appended to the log. It ends with this program, whatever ends that. start
// may be nil, or run the function that it gets where the process is to live.
func launch(log string, start func(func()), path string, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if start == nil {
		start = func(f func()) { f() }
	}
	start(func() { err = cmd.Start() })
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// running returns an error once the process has ended.
func (p *process) running() error {
	select {
	case <-p.done:
		return fmt.Errorf("it ended: %v; the end of %s:\n%s", p.cmd.ProcessState, p.log, tail(p.log, 15))
	default:
		return nil
	}
}

// signal sends a signal to the process group.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

// kill ends the process at once.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// stop asks the process to end, and kills it if it has not within 20 seconds, which is an error.
func (p *process) stop() error {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(20 * time.Second):
		p.signal(syscall.SIGABRT) // it prints its goroutines
		time.Sleep(time.Second)
		p.kill()
		return errors.New("it did not end within 20 s of SIGTERM; see " + p.log)
	}
}

// usage returns the CPU time that the process has used, and its resident memory in MiB.
func (p *process) usage() (cpu time.Duration, mib float64) {
	const tick = 10 * time.Millisecond // USER_HZ of Linux
	if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid)); err == nil {
		if _, rest, ok := strings.Cut(string(data), ") "); ok { // the name may have blanks
			if f := strings.Fields(rest); len(f) > 12 {
				user, _ := strconv.Atoi(f[11])
				system, _ := strconv.Atoi(f[12])
				cpu = time.Duration(user+system) * tick
			}
		}
	}
	if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid)); err == nil {
		if f := strings.Fields(string(data)); len(f) > 1 {
			pages, _ := strconv.Atoi(f[1])
			mib = float64(pages) * float64(os.Getpagesize()) / (1 << 20)
		}
	}
	return cpu, mib
}

// tail returns the last lines of a file.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
