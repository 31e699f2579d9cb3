// Package jspeer runs a real js-libp2p node (peer.mjs) for a test. `make interop` installs what it needs.
package jspeer

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
	"sync"
	"testing"
	"time"
)

// startTimeout bounds how long node may take to load the program.
const startTimeout = 30 * time.Second

// Peer is a running node. Its methods may be called concurrently.
type Peer struct {
	ID     string   // its peer id
	Listen []string // its multiaddrs, with the peer id

	cmd    *exec.Cmd
	stdin  io.WriteCloser
	errors bytes.Buffer  // what it wrote to stderr; read it after done is closed
	done   chan struct{} // closed once the process has ended

	mu      sync.Mutex
	next    int
	waiting map[int]chan json.RawMessage
}

// Start runs a node until the test ends. dir is the folder of this package.
func Start(tb testing.TB, dir string) *Peer {
	tb.Helper()
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "libp2p")); err != nil {
		tb.Fatalf("js-libp2p is not installed: `make need-js` installs it (%v)", err)
	}
	p := &Peer{cmd: exec.Command("node", "peer.mjs"), done: make(chan struct{}),
		waiting: map[int]chan json.RawMessage{}}
	p.cmd.Dir = dir
	p.cmd.Stderr = &p.errors
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	p.stdin = stdin
	hello := p.expect(0)
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go p.read(stdout)
	tb.Cleanup(func() { p.Stop() })
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	var self struct {
		Peer   string
		Listen []string
	}
	if err := p.answer(ctx, hello, &self); err != nil {
		p.Stop()
		tb.Fatalf("start js-libp2p: %v\n%s", err, p.errors.String())
	}
	p.ID, p.Listen = self.Peer, self.Listen
	return p
}

// Stop ends the node by closing its stdin, and waits for it. It may be called twice.
func (p *Peer) Stop() {
	_ = p.stdin.Close()
	timer := time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
	<-p.done
	timer.Stop()
}

// read passes answers to their callers until the process ends.
func (p *Peer) read(stdout io.Reader) {
	defer close(p.done)
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var head struct{ ID int }
		if json.Unmarshal(line, &head) != nil {
			continue
		}
		p.mu.Lock()
		w := p.waiting[head.ID]
		delete(p.waiting, head.ID)
		p.mu.Unlock()
		if w != nil {
			w <- line
		}
	}
	_ = p.cmd.Wait()
}

func (p *Peer) expect(id int) chan json.RawMessage {
	w := make(chan json.RawMessage, 1)
	p.mu.Lock()
	p.waiting[id] = w
	p.mu.Unlock()
	return w
}

var errEnded = errors.New("the js-libp2p node has ended")

func (p *Peer) answer(ctx context.Context, w chan json.RawMessage, result any) error {
	select {
	case line := <-w:
		var head struct{ Error string }
		if err := json.Unmarshal(line, &head); err != nil {
			return err
		}
		if head.Error != "" {
			return errors.New(head.Error)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(line, result)
	case <-ctx.Done():
		return ctx.Err()
	case <-p.done:
		return errEnded
	}
}

// Args holds the arguments of a command.
type Args map[string]any

// Do runs a command of the node (see peer.mjs) and decodes its answer into result, which may be nil.
func (p *Peer) Do(ctx context.Context, what string, args Args, result any) error {
	line := map[string]any{"do": what}
	for k, v := range args {
		line[k] = v
	}
	p.mu.Lock()
	p.next++
	id := p.next
	p.mu.Unlock()
	line["id"] = id
	w := p.expect(id)
	b, err := json.Marshal(line)
	if err != nil {
		return err
	}
	p.mu.Lock()
	_, err = p.stdin.Write(append(b, '\n'))
	p.mu.Unlock()
	if err == nil {
		err = p.answer(ctx, w, result)
	}
	if err != nil {
		return fmt.Errorf("js-libp2p, %s: %w", what, err)
	}
	return nil
}
