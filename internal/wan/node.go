//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/emunet"
)

// admin is where each node serves its admin API, in its own namespace.
const admin = "127.0.0.1:26670"

// node is a real process in its place. kind is what it speaks: comet, tcp, quic or dual (all).
type node struct {
	*emunet.Place
	index, region        int
	kind, home, id, peer string
	cmd                  *exec.Cmd // nil: it does not run
	http                 *http.Client
}

// link is what the admin API says of one.
type link struct {
	ID        string  `json:"node_id"`
	Direction string  `json:"direction"`
	Age       float64 `json:"connected_s"`
	Received  int64   `json:"received_bytes"`
}

func newNode(i int, p *emunet.Place, dir, kind string) *node {
	dial := func(context.Context, string, string) (c net.Conn, err error) {
		p.On(func() { c, err = net.DialTimeout("tcp", admin, 2*time.Second) })
		return c, err
	}
	return &node{Place: p, index: i, region: i % emunet.Regions, kind: kind, home: fmt.Sprintf("%s/n%03d", dir, i),
		http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: dial}}}
}

// speaks reports whether two kinds of nodes share a wire.
func speaks(a, b string) bool { return a == b || a == "dual" || b == "dual" }

// address returns where a node of the given kind finds this one.
func (n *node) address(kind string) string {
	if n.kind != "dual" {
		kind = n.kind
	}
	switch kind {
	case "tcp":
		return "/ip4/" + n.IP + "/tcp/26656/p2p/" + n.peer
	case "quic":
		return "/ip4/" + n.IP + "/udp/26656/quic-v1/p2p/" + n.peer
	}
	return n.id + "@" + n.IP + ":26656"
}

// init makes the node's folder. bootstrap is the one address that it knows; it may be empty.
func (n *node) init(bin, bootstrap string) {
	args := []string{"init", "--home", n.home, "--network", "wan"}
	set := func(key, value string) { args = append(args, "--set", key+"="+value) }
	set("admin.address", admin)
	set("peers.max_inbound", fmt.Sprint(*inbound))
	if bootstrap != "" {
		set("peers.bootstrap", fmt.Sprintf("[%q]", bootstrap))
	}
	if n.kind != "quic" {
		args = append(args, "--listen", "/ip4/"+n.IP+"/tcp/26656")
	}
	if n.kind == "quic" || n.kind == "dual" {
		args = append(args, "--listen", "/ip4/"+n.IP+"/udp/26656/quic-v1")
	}
	switch n.kind {
	case "comet":
		set("stack.wires", `["comet"]`)
	case "tcp", "quic":
		set("stack.wires", `["libp2p"]`)
		set("stack.transports", fmt.Sprintf("[%q]", n.kind))
	}
	if out, err := exec.Command(bin, args...).CombinedOutput(); err != nil {
		check(fmt.Errorf("%w: %s", err, out))
	}
}

// start runs the node in its place. It ends with this program, whatever ends that.
func (n *node) start(bin string) {
	log := must(os.OpenFile(n.home+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644))
	defer log.Close()
	cmd := exec.Command(bin, "start", "--home", n.home)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	n.On(func() { check(cmd.Start()) })
	n.cmd = cmd
}

func (n *node) kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	n.http.CloseIdleConnections()
	n.cmd = nil
}

// get asks the admin API.
func (n *node) get(path string, into any) error {
	r, err := n.http.Get("http://" + admin + path)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	return json.NewDecoder(r.Body).Decode(into)
}

// identify waits until the node answers, and learns its names.
func (n *node) identify() {
	var s struct {
		ID   string `json:"node_id"`
		Peer string `json:"peer_id"`
	}
	for end := time.Now().Add(time.Minute); n.get("/v1/status", &s) != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			check(fmt.Errorf("%s: no answer from its admin API; see its log", n.home))
		}
	}
	n.id, n.peer = s.ID, s.Peer
}

// each calls f for every node, some at once.
func each(nodes []*node, atOnce int, f func(*node)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, n := range nodes {
		slots <- struct{}{}
		wg.Go(func() {
			f(n)
			<-slots
		})
	}
	wg.Wait()
}
