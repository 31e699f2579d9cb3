package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/switchyard-p2p/switchyard/host/relay"
	"github.com/switchyard-p2p/switchyard/modules/cli/live"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// The story of a demo, by the clock.
const (
	storyItems  = 6 * time.Second // the first item
	storyKill   = 10 * time.Second
	storyRevive = 4 * time.Second  // after the kill
	storyWait   = 30 * time.Second // the kill waits so long for the network to form
	storyVictim = 4
	storyItem   = 500 * time.Millisecond // between two items
	storyLine   = 7                      // one item of so many has a line
	maxDemoItem = 16 << 10
)

// story publishes items, kills a node and revives it, until ctx ends.
func (d *demoNet) story(ctx context.Context) {
	tick := time.NewTicker(storyItem)
	defer tick.Stop()
	killed, turn := false, 0
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		up := time.Since(d.began)
		if up >= storyItems {
			d.send(ctx, turn%len(d.nodes)+1, turn%storyLine == 0)
			turn++
		}
		if !killed && up >= storyKill && (d.hasFormed() || up >= storyWait) {
			killed = true
			d.killForNow(min(storyVictim, len(d.nodes)))
		}
		for _, n := range d.nodes {
			n.mu.Lock()
			due := n.life == nil && !n.back.IsZero() && time.Now().After(n.back)
			n.mu.Unlock()
			if due {
				d.revive(n.number)
			}
		}
	}
}

func (d *demoNet) hasFormed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.formed > 0
}

// killForNow kills a node of the story, unless the user has killed one already.
func (d *demoNet) killForNow(number int) {
	for _, n := range d.nodes {
		if n.alive() == nil {
			return
		}
	}
	n := d.nodes[number-1]
	n.mu.Lock()
	n.back = time.Now().Add(storyRevive)
	n.mu.Unlock()
	d.kill(number)
}

// act does what a key asks, and returns what to say if it cannot.
func (d *demoNet) act(ctx context.Context, a live.Action) string {
	switch a := a.(type) {
	case live.Kill:
		return d.kill(a.Node)
	case live.Revive:
		return d.revive(a.Node)
	case live.Cut:
		return d.cut(a.Node, a.Peer)
	case live.Send:
		return d.send(ctx, a.Node, true)
	case live.Open:
		return browse(d.nodes[0].url())
	}
	return ""
}

// kill stops a node.
func (d *demoNet) kill(number int) string {
	n := d.nodes[number-1]
	n.mu.Lock()
	life, kill := n.life, n.kill
	n.mu.Unlock()
	if life == nil {
		return fmt.Sprintf("node %d does not run", number)
	}
	links := len(life.host.Peers())
	d.mu.Lock()
	d.killed[number] = &demoKill{at: time.Now(), links: links}
	delete(d.backed, number)
	d.mu.Unlock()
	d.items.leave(number)
	kill()
	return ""
}

// revive starts a node that has stopped.
func (d *demoNet) revive(number int) string {
	n := d.nodes[number-1]
	if n.alive() != nil {
		return fmt.Sprintf("node %d runs", number)
	}
	select {
	case n.revive <- struct{}{}:
	default: // it is about to start
		return ""
	}
	n.mu.Lock()
	n.back = time.Time{}
	n.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.backed[number] = time.Now()
	d.say(live.LineNote, "node %d starts again, with its key and its folder", number)
	return ""
}

// cut ends the link between two nodes; to 0 is any of the node's.
func (d *demoNet) cut(number, to int) string {
	life := d.nodes[number-1].alive()
	if life == nil {
		return fmt.Sprintf("node %d does not run", number)
	}
	for _, p := range life.host.Peers() {
		other := d.numberOf(p.ID)
		if other == 0 || to != 0 && other != to {
			continue
		}
		d.mu.Lock()
		if len(d.cuts) < demoCutsKept {
			d.cuts[pairOf(number, other)] = time.Now()
		}
		d.say(live.LineDown, "link of node %d and node %d cut", number, other)
		d.mu.Unlock()
		life.host.Disconnect(p.ID, muxer.CodeRequested, "cut by the demo")
		return ""
	}
	return fmt.Sprintf("node %d has no such link", number)
}

// send publishes an item at a node.
func (d *demoNet) send(ctx context.Context, number int, tell bool) string {
	life := d.nodes[number-1].alive()
	if life == nil {
		return fmt.Sprintf("node %d does not run", number)
	}
	item := make([]byte, 32+mathrand.IntN(maxDemoItem))
	_, _ = rand.Read(item) // never fails
	var want []int
	for _, n := range d.nodes {
		if n.number != number && n.alive() != nil {
			want = append(want, n.number)
		}
	}
	id := relay.IDOf(item)
	d.items.publish(id, number, want, time.Now(), tell)
	if _, err := life.relay.Topic("").Publish(ctx, item); err != nil {
		d.items.forget(id)
		return fmt.Sprintf("node %d does not publish: %v", number, err)
	}
	return ""
}

// isFree reports whether an address can be listened on now.
func isFree(address string) bool {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}

// browse opens a URL in the user's browser. Other users of the machine may see the URL in the list of processes while
// the browser starts; its token is one of a demo.
func browse(url string) string {
	if url == "" {
		return "node 1 does not listen yet"
	}
	var cmd *exec.Cmd
	switch runtime.GOOS {
	case "darwin":
		cmd = exec.Command("open", url)
	case "windows":
		cmd = exec.Command("rundll32", "url.dll,FileProtocolHandler", url)
	default:
		if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" { // it could take this terminal
			return "no browser here: ? shows the page's URL"
		}
		cmd = exec.Command("xdg-open", url)
	}
	if err := cmd.Start(); err != nil {
		return "no browser: " + err.Error()
	}
	_ = cmd.Process.Release() // it may be the browser itself, which outlives the demo
	return "the page opens in your browser"
}
