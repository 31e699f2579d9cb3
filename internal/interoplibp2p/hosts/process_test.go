package hosts

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// program is our real program, built once, when a test first needs it.
var program build

type build struct {
	once sync.Once
	dir  string
	err  error
}

func (b *build) path(t *testing.T) string {
	t.Helper()
	b.once.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "interop-"); b.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(b.dir, "switchyard"), "./cmd/switchyard") // without debugging tables it links sooner
		cmd.Dir = "../../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("build our program: %w\n%s", err, out)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return filepath.Join(b.dir, "switchyard")
}

func (b *build) remove() {
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}

// result is what a call of the program left.
type result struct {
	out, err string
	code     int
}

// call runs the program to its end.
func call(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program.path(t), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Fatalf("switchyard %s: %v", strings.Join(args, " "), err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// ask runs the program, which has to succeed without a word on stderr, and reads the JSON that it prints.
func ask[T any](t *testing.T, args ...string) (v T) {
	t.Helper()
	r := call(t, args...)
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

// refuse runs the program, which has to fail with exit code 1 and one line on stderr.
func refuse(t *testing.T, args ...string) (f failed) {
	t.Helper()
	r := call(t, args...)
	if err := json.Unmarshal([]byte(r.out), &f); err != nil || r.code != 1 || f.OK || f.Error == "" || strings.Count(r.err, "\n") != 1 || !strings.HasPrefix(r.err, "switchyard: ") {
		t.Errorf("switchyard %s: code %d, stdout %q, stderr %q (%v)", strings.Join(args, " "), r.code, r.out, r.err, err)
	}
	return f
}

const yardNetwork = "program-test"

// yard is the folder of a node of ours that runs as a program.
type yard struct {
	home, admin string
	nodeID      string
	peerID      peer.ID
	listen      map[string]ma.Multiaddr // by transport, since the start
}

// newYard makes one with `switchyard init`. It listens on free ports.
func newYard(t *testing.T, sets ...string) *yard {
	t.Helper()
	y := &yard{home: t.TempDir(), admin: freeAddress(t), listen: map[string]ma.Multiaddr{}}
	args := []string{"init", "--home", y.home, "--network", yardNetwork, "--moniker", "the-program", "--set", "admin.address=" + y.admin}
	for _, l := range programListens {
		args = append(args, "--listen", l)
	}
	for _, s := range sets {
		args = append(args, "--set", s)
	}
	if r := call(t, args...); r.code != 0 || r.err != "" {
		t.Fatalf("init: code %d, %s%s", r.code, r.out, r.err)
	}
	id := ask[struct {
		NodeID    string `json:"node_id"`
		PeerID    string `json:"peer_id"`
		PublicKey string `json:"public_key"`
	}](t, "id", "--json", "--home", y.home)
	var err error
	y.nodeID = id.NodeID
	if y.peerID, err = peer.Decode(id.PeerID); err != nil {
		t.Fatal(err)
	}
	return y
}

// start runs `switchyard start` until the test ends, and waits until the node is ready.
func (y *yard) start(t *testing.T) {
	t.Helper()
	cmd := exec.Command(program.path(t), "start", "--home", y.home, "--log-format", "json")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan []string, 1), make(chan struct{})
	var log bytes.Buffer // read it once ended is closed
	go func() {
		defer close(ended)
		lines := bufio.NewReader(io.TeeReader(out, &log))
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				break
			}
			var l struct {
				Msg    string   `json:"msg"`
				Listen []string `json:"listen"`
			}
			if json.Unmarshal(line, &l) == nil && l.Msg == "ready" {
				ready <- l.Listen
			}
		}
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		<-ended
		if !late.Stop() || cmd.ProcessState.ExitCode() != 0 {
			t.Errorf("the program did not end well: %v\n%s", cmd.ProcessState, tail(log.Bytes()))
		}
	})
	select {
	case listen := <-ready:
		for _, l := range listen {
			m, err := ma.NewMultiaddr(l)
			if err != nil {
				t.Fatal(err)
			}
			name := "tcp"
			if strings.Contains(l, "/quic-v1") {
				name = "quic"
			}
			y.listen[name] = m
		}
	case <-time.After(testTimeout):
		t.Fatal("the program is not ready")
	case <-ended:
		t.Fatalf("the program ended at once:\n%s", tail(log.Bytes()))
	}
}

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }

// programListens are the addresses of the program: a free port of each transport.
var programListens = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}
