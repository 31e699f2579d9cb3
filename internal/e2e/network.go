//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/emunet"
)

// network is one network of nodes, each in a network namespace of its own, and CometBFT's runner in another.
type network struct {
	programs   *programs
	logs       string
	emu        *emunet.Network
	index      map[string]int // of places, by IP
	isCut      []atomic.Bool  // places that are cut off
	containers map[string]*container
	forwards   map[int]net.Listener // by port
	wait       sync.WaitGroup       // for what forwards
}

// newNetwork makes places for so many nodes. CometBFT's runner numbers them from .2 on; it gets .1 for itself.
func newNetwork(p *programs, logs string, nodes int) (*network, error) {
	w := &network{programs: p, logs: logs, index: map[string]int{}, isCut: make([]atomic.Bool, nodes+1),
		forwards: map[int]net.Listener{}}
	var ips []string
	for i := range nodes + 1 {
		ip := fmt.Sprintf("10.186.73.%d", i+1)
		ips = append(ips, ip)
		w.index[ip] = i
	}
	var err error
	w.emu, err = emunet.New(ips, func(from, to int) (time.Duration, bool) {
		return 0, !w.isCut[from].Load() && !w.isCut[to].Load()
	})
	return w, err
}

// container makes a container that does not run yet.
func (w *network) container(s service, services map[string]service) (*container, error) {
	i, ok := w.index[s.ip]
	if !ok {
		return nil, fmt.Errorf("%s: there is no place %s", s.name, s.ip)
	}
	if !s.builtin {
		return nil, fmt.Errorf("%s: only applications that are built in can run", s.name)
	}
	s.image, _, _ = strings.Cut(s.image, ":")
	c := &container{service: s, place: w.emu.Places[i], log: filepath.Join(w.logs, s.name+".log")}
	switch s.image {
	case stockImage:
		c.program = w.programs.stock
	case oursImage, quicImage:
		c.program = w.programs.ours
	default:
		return nil, fmt.Errorf("%s: there is no image %q", s.name, s.image)
	}
	if err := c.configure(services); err != nil {
		return nil, err
	}
	return c, w.forward(c)
}

// forward takes connections to the port of a node's RPC where the runner is.
func (w *network) forward(c *container) error {
	if w.forwards[c.port] != nil { // a node and what it upgrades to share one
		return nil
	}
	var l net.Listener
	var err error
	w.emu.Places[0].On(func() { l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", c.port)) })
	if err != nil {
		return err
	}
	w.forwards[c.port] = l
	to, isCut := net.JoinHostPort(c.ip, "26657"), &w.isCut[w.index[c.ip]]
	w.wait.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if isCut.Load() {
				conn.Close()
				continue
			}
			w.wait.Go(func() { pipe(conn, c.place, to) })
		}
	})
	return nil
}

// pipe carries what a connection says to an address in a place, and back, until one end closes.
func pipe(conn net.Conn, place *emunet.Place, to string) {
	defer conn.Close()
	node, err := place.Dial(context.Background(), "tcp", to)
	if err != nil {
		return
	}
	defer node.Close()
	back := make(chan struct{})
	go func() {
		_, _ = io.Copy(conn, node)
		conn.Close()
		close(back)
	}()
	_, _ = io.Copy(node, conn)
	node.Close()
	<-back
}

// cut cuts a node off, or lets it back.
func (w *network) cut(name string, off bool) error {
	c := w.containers[name]
	if c == nil {
		return fmt.Errorf("there is no %s", name)
	}
	w.isCut[w.index[c.ip]].Store(off)
	return nil
}

// run runs CometBFT's runner with a manifest, and writes what it says to a file. Afterwards the nodes still run.
func (w *network) run(ctx context.Context, manifest, output string) error {
	dir, err := os.MkdirTemp("", "e2e-") // a short name, as a socket is in it
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Symlink(self, filepath.Join(dir, "docker")); err != nil {
		return err
	}
	socket := filepath.Join(dir, "control")
	control, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	served := make(chan struct{})
	go func() {
		w.serve(control)
		close(served)
	}()
	defer func() {
		control.Close()
		<-served
	}()
	log, err := os.Create(output)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, w.programs.runner, "-f", manifest, "-p")
	cmd.Dir, cmd.Stdout, cmd.Stderr = w.programs.e2e, log, log
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), controlVariable+"="+socket, "VERBOSE=1",
		"GOWORK=off", "GOPROXY=off")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	w.emu.Places[0].On(func() { err = cmd.Start() })
	if err == nil {
		err = cmd.Wait()
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// close ends the nodes and the places, and returns the faults of the nodes.
func (w *network) close() (faults []error) {
	for _, c := range w.containers {
		if c.running() {
			_ = c.kill() // else it has just ended
		}
		faults = append(faults, c.faults...)
	}
	for _, l := range w.forwards {
		l.Close()
	}
	w.wait.Wait()
	w.emu.Close()
	return faults
}
