package suitekit

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

// Results are how tests ended.
type Results struct {
	Tests   map[string]*Outcome
	Seconds float64
	Links   map[string]int // how many links of ours each transport carried
}

// Outcome is how a test ended.
type Outcome struct {
	State string // pass, fail, skip, or why it has no result
	Tries int
}

// Passed returns how many tests passed.
func (r Results) Passed() int { return r.count("pass") }

// Skipped returns how many tests skipped themselves.
func (r Results) Skipped() int { return r.count("skip") }

func (r Results) count(state string) int {
	n := 0
	for _, o := range r.Tests {
		if o.State == state {
			n++
		}
	}
	return n
}

// Failed returns the names of the tests that did not pass, without those that were skipped.
func (r Results) Failed() []string {
	var names []string
	for name, o := range r.Tests {
		if o.State != "pass" && o.State != "skip" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Notes returns a line for each test that did not simply pass.
func (r Results) Notes() string {
	var b strings.Builder
	for _, name := range sortedKeys(r.Tests) {
		switch o := r.Tests[name]; {
		case o.State == "pass" && o.Tries > 1:
			fmt.Fprintf(&b, "\n    %s passed at try %d", name, o.Tries)
		case o.State != "pass":
			fmt.Fprintf(&b, "\n    %s: %s", name, o.State)
		}
	}
	return b.String()
}

// Batch runs the tests of one binary.
type Batch struct {
	Binary, Dir string
	Env         []string
	Timeout     time.Duration // of one test
	Log         string        // a file for the output
	Links       string        // a file to which the tests write a word for each link; may be missing
}

// RunAll runs tests until each has a result, those that fail alone and again, up to tries times.
func (b Batch) RunAll(ctx context.Context, names []string, tries int) (Results, error) {
	began := time.Now()
	r := Results{Tests: map[string]*Outcome{}, Links: map[string]int{}}
	log, err := os.Create(b.Log)
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
				r.Tests[name] = &Outcome{state, 1}
			} else {
				next = append(next, name)
			}
		}
		if len(next) == len(left) { // nothing has run
			for _, name := range next {
				r.Tests[name] = &Outcome{got.end, 1}
			}
			next = nil
		}
		left = next
	}
	for _, name := range names {
		for o := r.Tests[name]; o.State != "pass" && o.State != "skip" && o.Tries < tries; o.Tries++ {
			got := b.runOnce(ctx, []string{name}, log)
			if err := ctx.Err(); err != nil {
				return r, err
			}
			if o.State = got.states[name]; o.State == "" {
				o.State = got.end
			}
		}
	}
	r.Seconds = time.Since(began).Seconds()
	return r, b.readLinks(r.Links)
}

// attempt is what one process has shown.
type attempt struct {
	states map[string]string
	end    string
}

var line = regexp.MustCompile(`(=== RUN   |--- PASS: |--- FAIL: |--- SKIP: )(\w+)( \(|$)`)

// runOnce runs tests in one process, whose end may come before it has run all of them.
func (b Batch) runOnce(ctx context.Context, names []string, log io.Writer) attempt {
	cmd := exec.CommandContext(ctx, b.Binary, "-test.v=test2json", "-test.timeout=0",
		"-test.run=^("+strings.Join(names, "|")+")$")
	cmd.Dir, cmd.Env = b.Dir, append(os.Environ(), b.Env...)
	got := attempt{states: map[string]string{}}
	pipe, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	done := make(chan string)
	patience := time.NewTimer(b.Timeout)
	defer patience.Stop()
	begun := func() { patience.Reset(b.Timeout) }
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
func (b Batch) readLinks(into map[string]int) error {
	data, err := os.ReadFile(b.Links)
	if os.IsNotExist(err) {
		return nil
	}
	for _, transport := range strings.Fields(string(data)) {
		into[transport]++
	}
	return err
}
