package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
)

// process is a program that runs beside the test. It is killed with the test, by its own process id.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed once it has ended
	out  *output
}

// output keeps what a process writes.
type output struct {
	mu   sync.Mutex
	text []byte
	more chan struct{} // closed and renewed at each write
}

func newOutput() *output { return &output{more: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	close(o.more)
	o.more = make(chan struct{})
	return len(p), nil
}

// lines are all whole lines so far; more is closed when there is more.
func (o *output) lines() (lines []string, more <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	whole := o.text[:bytes.LastIndexByte(o.text, '\n')+1]
	return strings.Split(strings.TrimSuffix(string(whole), "\n"), "\n"), o.more
}

// tail is the end of what was written, for a failure's message.
func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text[max(0, len(o.text)-4000):])
}

// launch starts a program.
func launch(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := &process{name: program, cmd: exec.Command(program, args...), done: make(chan struct{}), out: newOutput()}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	dieWithUs(p.cmd)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop ends the process as an operator does, and expects that it ends well.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.kill()
		t.Fatalf("%s did not end within 20 s of SIGTERM:\n%s", p.name, p.out.tail())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("%s ended with code %d:\n%s", p.name, code, p.out.tail())
	}
}

// await waits for a line that ok takes. It says false if the process ends before.
func (p *process) await(t *testing.T, bound time.Duration, what string, ok func(line string) bool) bool {
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
		case <-p.done:
			ended = true
		case <-timer.C:
			t.Fatalf("%s: not within %v: %s\n%s", p.name, bound, what, p.out.tail())
		}
	}
}

// result is what a call of a program left.
type result struct {
	out, err string
	code     int
}

// call runs a program to its end.
func call(t *testing.T, program string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	dieWithUs(cmd)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %s: %v", program, strings.Join(args, " "), err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// ask runs our program, which has to succeed without a word on stderr, and reads the JSON that it prints. A key that T does not have is a failure: the output
// is a contract.
func ask[T any](t *testing.T, args ...string) (v T) {
	t.Helper()
	r := call(t, switchyardProgram(t), args...)
	if r.code != 0 || r.err != "" {
		t.Fatalf("switchyard %s: code %d, %s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	d := json.NewDecoder(strings.NewReader(r.out))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("switchyard %s printed %s: %v", strings.Join(args, " "), r.out, err)
	}
	return v
}

// failed is what --json prints of a failure.
type failed struct {
	OK    bool   `json:"ok"`
	Stage string `json:"stage"`
	Error string `json:"error"`
}

// refuse runs our program, which has to fail with exit code 1, one line on stderr, and the same in JSON.
func refuse(t *testing.T, args ...string) failed {
	t.Helper()
	r := call(t, switchyardProgram(t), args...)
	var f failed
	d := json.NewDecoder(strings.NewReader(r.out))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil || r.code != 1 || f.OK || f.Error == "" || strings.Count(r.err, "\n") != 1 || !strings.HasPrefix(r.err, "switchyard: ") {
		t.Errorf("switchyard %s: code %d, stdout %q, stderr %q (%v)", strings.Join(args, " "), r.code, r.out, r.err, err)
	}
	return f
}

// yard is a folder of a node of ours that runs as a program.
type yard struct {
	home, admin string
	id          string
	client      *admin.Client
	listen      string // host:port, since the last start
}

// newYard makes one with `switchyard init`. It listens on a free port.
func newYard(t *testing.T, network, moniker string, sets ...string) *yard {
	t.Helper()
	port, err := cometpeer.FreePort("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	y := &yard{home: t.TempDir(), admin: fmt.Sprintf("127.0.0.1:%d", port)}
	args := []string{"init", "--home", y.home, "--network", network, "--moniker", moniker, "--listen", "/ip4/127.0.0.1/tcp/0", "--set", "admin.address=" + y.admin}
	for _, s := range sets {
		args = append(args, "--set", s)
	}
	if r := call(t, switchyardProgram(t), args...); r.code != 0 || r.err != "" {
		t.Fatalf("init: code %d, %s%s", r.code, r.out, r.err)
	}
	y.id = ask[struct {
		NodeID    string `json:"node_id"`
		PeerID    string `json:"peer_id"`
		PublicKey string `json:"public_key"`
	}](t, "id", "--json", "--home", y.home).NodeID
	if y.client, err = admin.NewClient(y.admin); err != nil {
		t.Fatal(err)
	}
	return y
}

// launch runs `switchyard start` without waiting for it.
func (y *yard) launch(t *testing.T, sets ...string) *process {
	t.Helper()
	args := []string{"start", "--home", y.home, "--log-format", "json"}
	for _, s := range sets {
		args = append(args, "--set", s)
	}
	if os.Getenv("SWITCHYARD_LOG") != "" {
		args = append(args, "--log-level", "debug")
	}
	return launch(t, switchyardProgram(t), args...)
}

// start is launch, and waits until the node is ready.
func (y *yard) start(t *testing.T, sets ...string) *process {
	t.Helper()
	p := y.launch(t, sets...)
	y.ready(t, p)
	return p
}

// ready waits until the node says so.
func (y *yard) ready(t *testing.T, p *process) {
	t.Helper()
	up := p.await(t, 20*time.Second, "the node is ready", func(line string) bool {
		var l struct {
			Msg    string   `json:"msg"`
			NodeID string   `json:"node_id"`
			Listen []string `json:"listen"`
		}
		if json.Unmarshal([]byte(line), &l) != nil || l.Msg != "ready" {
			return false
		}
		if l.NodeID != y.id || len(l.Listen) != 1 {
			t.Fatalf("ready: %s", line)
		}
		part := strings.Split(l.Listen[0], "/") // /ip4/127.0.0.1/tcp/PORT
		y.listen = net.JoinHostPort(part[2], part[4])
		return true
	})
	if !up {
		t.Fatalf("the node did not start:\n%s", p.out.tail())
	}
}

// address is where the node listens, as id@host:port.
func (y *yard) address() string { return y.id + "@" + y.listen }

// peers are the links of the running node.
func (y *yard) peers(t *testing.T) []admin.Peer {
	t.Helper()
	return ask[[]admin.Peer](t, "peers", "--json", "--home", y.home)
}
