package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/emunet"
)

// node is a CometBFT node in a home of its own, and its application's process when it has one.
type node struct {
	kind
	name    string // its moniker too
	home    string
	bins    *binaries
	id      string // CometBFT's
	peer    string // libp2p's
	val     string // address of its validator key, whether or not the genesis has it
	host    string
	p2p     int // TCP, and UDP of ours
	rpc     int
	admin   int           // port of the admin API of ours
	profile int           // port of net/http/pprof; 0 for none
	grpc    int           // port of the application's process; 0: it has a socket
	app     []string      // arguments of the application's process; nil: the built-in application
	place   *emunet.Place // nil: this machine's own network
	client
	process, appProcess *process
}

// rpcAddress is what rpc.laddr says.
func (n *node) rpcAddress() string { return fmt.Sprintf("tcp://%s:%d", n.host, n.rpc) }

// appAddress and appTransport say where CometBFT finds the application's process, and how they speak.
func (n *node) appAddress() string {
	if n.grpc > 0 {
		return fmt.Sprintf("%s:%d", n.host, n.grpc) // gRPC takes no tcp:// before it
	}
	return "unix://" + filepath.Join(n.home, "app.sock")
}

func (n *node) appTransport() string {
	if n.grpc > 0 {
		return "grpc"
	}
	return "socket"
}

// identify reads the node's keys.
func (n *node) identify() error {
	key, err := readKey(filepath.Join(n.home, "config", "node_key.json"))
	if err != nil {
		return err
	}
	n.id, n.peer = address(key), peerID(key)
	if key, err = readKey(filepath.Join(n.home, "config", "priv_validator_key.json")); err != nil {
		return err
	}
	n.val = strings.ToUpper(address(key))
	n.url = "http://" + strings.TrimPrefix(n.rpcAddress(), "tcp://")
	// A connection a call: a node that was stopped or restarted has no old ones.
	transport := &http.Transport{DisableKeepAlives: true}
	if n.place != nil {
		transport.DialContext = n.place.Dial
	}
	n.http = &http.Client{Transport: transport}
	return nil
}

// start runs the node, and its application first.
func (n *node) start() error {
	in := func(f func()) { f() }
	if n.place != nil {
		in = n.place.On
	}
	path, args := n.bins.stock, []string{"start", "--home", n.home}
	if n.kind.ours() {
		path = n.bins.ours
	}
	if n.app != nil && n.appProcess == nil {
		if err := os.Remove(filepath.Join(n.home, "app.sock")); err != nil && !os.IsNotExist(err) {
			return err
		}
		var err error
		args := append([]string{"-listen", n.appAddress(), "-transport", n.appTransport()}, n.app...)
		if n.appProcess, err = launch(n.home+".app.log", in, n.bins.app, args...); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	p, err := launch(n.home+".log", in, path, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	n.process = p
	return nil
}

// kill ends the node's process at once. Its application lives on.
func (n *node) kill() {
	if n.process != nil {
		n.process.kill()
		n.process = nil
	}
}

// stop asks the node to end and waits for it. Its application lives on.
func (n *node) stop() error {
	if n.process == nil {
		return nil
	}
	defer func() { n.process = nil }()
	if err := n.process.running(); err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	if err := n.process.stop(); err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	return nil
}

// end kills all that belongs to the node.
func (n *node) end() {
	n.kill()
	if n.appProcess != nil {
		n.appProcess.kill()
		n.appProcess = nil
	}
}

// pause stops the node's process without ending it, and go on.
func (n *node) pause()  { n.process.signal(syscall.SIGSTOP) }
func (n *node) resume() { n.process.signal(syscall.SIGCONT) }

// alive returns an error if the node should run and does not.
func (n *node) alive() error {
	if n.process != nil {
		if err := n.process.running(); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return nil
}

// reach waits until the node is at a height.
func (n *node) reach(ctx context.Context, height int64, limit time.Duration) error {
	return await(ctx, limit, fmt.Sprintf("%s is at height %d", n.name, height), func() error {
		if err := n.alive(); err != nil {
			return final{err}
		}
		h, err := n.height(ctx)
		if err == nil && h < height {
			err = fmt.Errorf("it is at %d", h)
		}
		return err
	})
}
