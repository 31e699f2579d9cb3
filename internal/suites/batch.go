package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// results are how tests ended.
type results struct {
	tests   map[string]*outcome
	seconds float64
	links   map[string]int // how many links of ours each transport carried
}

// outcome is how a test ended.
type outcome struct {
	state string // pass, fail, skip, or why it has no result
	tries int
}

func (r results) passed() int {
	n := 0
	for _, o := range r.tests {
		if o.state == "pass" {
			n++
		}
	}
	return n
}

// failed returns the names of the tests that did not pass, without those that were skipped.
func (r results) failed() []string {
	var names []string
	for name, o := range r.tests {
		if o.state != "pass" && o.state != "skip" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (r results) notes() string {
	var b strings.Builder
	for _, name := range slices.Sorted(mapKeys(r.tests)) {
		switch o := r.tests[name]; {
		case o.state == "pass" && o.tries > 1:
			fmt.Fprintf(&b, "\n    %s passed at try %d", name, o.tries)
		case o.state != "pass":
			fmt.Fprintf(&b, "\n    %s: %s", name, o.state)
		}
	}
	return b.String()
}

// batch runs the tests of one binary over one wire.
type batch struct {
	binary, dir string
	wire        wire
	timeout     time.Duration
	log         string
	silent      bool
	keepLogs    bool
}

// runAll runs tests until each has a result, those that fail alone and again.
func (b batch) runAll(ctx context.Context, names []string, tries int) (results, error) {
	began := time.Now()
	r := results{tests: map[string]*outcome{}, links: map[string]int{}}
	log, err := os.Create(b.log)
	if err != nil {
		return r, err
	}
	defer log.Close()
	for left := names; len(left) > 0; {
		got := b.runOnce(ctx, left, log)
		if err := ctx.Err(); err != nil {
			return r, err
		}
		var next []string
		for _, name := range left {
			if state := got.states[name]; state != "" {
				r.tests[name] = &outcome{state, 1}
			} else {
				next = append(next, name)
			}
		}
		if len(next) == len(left) { // nothing has run
			for _, name := range next {
				r.tests[name] = &outcome{got.end, 1}
			}
			next = nil
		}
		left = next
	}
	for _, name := range names {
		for o := r.tests[name]; o.state != "pass" && o.state != "skip" && o.tries < tries; o.tries++ {
			got := b.runOnce(ctx, []string{name}, log)
			if err := ctx.Err(); err != nil {
				return r, err
			}
			if o.state = got.states[name]; o.state == "" {
				o.state = got.end
			}
		}
	}
	r.seconds = time.Since(began).Seconds()
	return r, b.readLinks(r.links)
}

// attempt is what one process has shown.
type attempt struct {
	states map[string]string
	end    string
}

var line = regexp.MustCompile(`(=== RUN   |--- PASS: |--- FAIL: |--- SKIP: )(\w+)( \(|$)`)

// runOnce runs tests in one process, whose end may come before it has run all of them.
func (b batch) runOnce(ctx context.Context, names []string, log io.Writer) attempt {
	cmd := exec.CommandContext(ctx, b.binary, "-test.v=test2json", "-test.timeout=0",
		"-test.run=^("+strings.Join(names, "|")+")$")
	cmd.Dir, cmd.Env = b.dir, append(os.Environ(), "SUITES_WIRE="+string(b.wire), "SUITES_LINKS="+b.log+".links")
	if b.keepLogs {
		cmd.Env = append(cmd.Env, "SUITES_LOG=1")
	}
	if b.silent {
		// The tests drop their connections, which the garbage collector closes sooner or later.
		cmd.Env = append(cmd.Env, "SUITES_SILENT=1", "GOGC=off")
	}
	got := attempt{states: map[string]string{}}
	pipe, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	done := make(chan string)
	patience := time.NewTimer(b.timeout)
	defer patience.Stop()
	begun := func() { patience.Reset(b.timeout) }
	go func() { done <- got.read(io.TeeReader(pipe, log), begun) }()
	err := cmd.Start()
	if err == nil {
		ended := make(chan struct{})
		go func() {
			select {
			case <-patience.C:
				_ = cmd.Process.Signal(syscall.SIGQUIT) // it writes its stacks
			case <-ended:
			}
		}()
		err = cmd.Wait()
		close(ended)
	}
	write.Close()
	running := <-done
	got.end = "the process ended without it"
	if err != nil {
		got.end += ": " + err.Error()
	}
	if running != "" && got.states[running] == "" {
		got.states[running] = "the process died in it: " + fmt.Sprint(err)
	}
	return got
}

// read reads what a process of tests writes. It calls begun with each test, and returns the last one.
func (a *attempt) read(from io.Reader, begun func()) (running string) {
	lines := bufio.NewReaderSize(from, 1<<16)
	for {
		text, err := lines.ReadString('\n')
		if m := line.FindStringSubmatch(strings.TrimRight(text, "\n")); m != nil {
			switch at := strings.Index(text, m[1]); {
			case at > 0 && text[at-1] == ' ': // of a subtest
			case m[1] == "=== RUN   ":
				running = m[2]
				begun()
			default:
				a.states[m[2]] = strings.ToLower(m[1][4:8])
			}
		}
		if err != nil {
			return running
		}
	}
}

// readLinks counts the links of ours by transport.
func (b batch) readLinks(into map[string]int) error {
	data, err := os.ReadFile(b.log + ".links")
	if os.IsNotExist(err) {
		return nil
	}
	for _, transport := range strings.Fields(string(data)) {
		into[transport]++
	}
	return err
}
