package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const networkName = "soak"

// node is an honest node: a process of the program.
type node struct {
	name   string
	id     string
	peerID string
	home   string
	port   int // TCP and UDP, at 127.0.0.1
	admin  string
	cmd    *exec.Cmd
	ended  chan struct{}
	paused atomic.Bool  // by the attack "stalls"
	since  atomic.Int64 // when it was last paused or resumed, in Unix seconds
}

// start makes and starts the honest nodes. Each knows the first one, and is trusted by nobody.
func start(ctx context.Context, s settings) (nodes []*node, err error) {
	for i := range s.nodes {
		n := &node{
			name: fmt.Sprintf("node%d", i), port: 21000 + i, admin: fmt.Sprintf("127.0.0.1:%d", 22000+i),
			ended: make(chan struct{}),
		}
		n.home = filepath.Join(s.dir, n.name)
		args := []string{"init", "--home", n.home, "--network", networkName, "--moniker", n.name,
			"--listen", fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", n.port),
			"--listen", fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", n.port), "--set", "admin.address=" + n.admin,
			"--set", "peers.max_outbound=4", "--set", "services.echo.enabled=true"}
		if i > 0 {
			args = append(args, "--set", fmt.Sprintf(`peers.bootstrap=["%s@127.0.0.1:%d"]`, nodes[0].id, nodes[0].port))
		}
		if out, err := exec.CommandContext(ctx, s.bin, args...).CombinedOutput(); err != nil {
			return nodes, fmt.Errorf("%s: init: %w: %s", n.name, err, out)
		}
		out, err := exec.CommandContext(ctx, s.bin, "id", "--json", "--home", n.home).Output()
		var id struct {
			NodeID string `json:"node_id"`
			PeerID string `json:"peer_id"`
		}
		if err == nil {
			err = json.Unmarshal(out, &id)
		}
		if err != nil {
			return nodes, fmt.Errorf("%s: id: %w", n.name, err)
		}
		n.id, n.peerID = id.NodeID, id.PeerID
		if err := n.launch(s.bin); err != nil {
			return nodes, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func (n *node) launch(bin string) error {
	log, err := os.Create(n.log())
	if err != nil {
		return err
	}
	defer log.Close()
	n.cmd = exec.Command(bin, "start", "--home", n.home)
	n.cmd.Stdout, n.cmd.Stderr = log, log
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = n.cmd.Wait()
		close(n.ended)
	}()
	return nil
}

func (n *node) log() string { return n.home + ".log" }

func (n *node) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port)) }

func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	<-n.ended
}

// stopAll ends the nodes with SIGTERM. Each must end with code 0.
func stopAll(nodes []*node) error {
	for _, n := range nodes {
		_ = n.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, n := range nodes {
		select {
		case <-n.ended:
		case <-time.After(30 * time.Second):
			return fmt.Errorf("%s does not stop within 30 s", n.name)
		}
		if code := n.cmd.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("%s ended with code %d", n.name, code)
		}
	}
	return nil
}

// pause stops and resumes the process.
func (n *node) pause(on bool) {
	sig := syscall.SIGCONT
	if on {
		sig = syscall.SIGSTOP
	}
	n.paused.Store(on)
	n.since.Store(time.Now().Unix())
	_ = n.cmd.Process.Signal(sig)
}

// shaken reports whether the node stood still within the last time d.
func (n *node) shaken(d time.Duration) bool {
	return n.paused.Load() || time.Since(time.Unix(n.since.Load(), 0)) < d
}

var client = http.Client{Timeout: 10 * time.Second}

// get asks the node's admin API.
func get[T any](n *node, path string) (v T, err error) {
	r, err := client.Get("http://" + n.admin + path)
	if err != nil {
		return v, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return v, fmt.Errorf("%s: %s", path, r.Status)
	}
	return v, json.NewDecoder(r.Body).Decode(&v)
}

// memory returns what the process holds of the machine's memory, in MiB, without the pages of files, which the kernel
// takes back when it needs them (badger maps its files); these pages; and the peak of both.
func (n *node) memory() (now, files, peak float64) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		return 0, 0, 0
	}
	for line := range bytes.Lines(data) {
		f := strings.Fields(string(line))
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "RssAnon:":
			now = kib / 1024
		case "RssFile:", "RssShmem:":
			files += kib / 1024
		case "VmHWM:":
			peak = kib / 1024
		}
	}
	return now, files, peak
}

// holds returns what the last garbage collection of the process has left, in MiB, and how many peers it knows.
func (n *node) holds() (heap float64, known int) {
	r, err := client.Get("http://" + n.admin + "/metrics")
	if err != nil {
		return 0, 0
	}
	defer r.Body.Close()
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		v, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil:
		case name == "go_memstats_next_gc_bytes":
			heap = v / 2 / (1 << 20) // the next collection begins at twice of it
		case strings.HasPrefix(name, "switchyard_known_peers{"):
			known += int(v)
		}
	}
	return heap, known
}

// lines returns the number of lines in the node's log.
func (n *node) lines() int {
	data, err := os.ReadFile(n.log())
	if err != nil {
		return 0
	}
	return bytes.Count(data, []byte("\n"))
}
