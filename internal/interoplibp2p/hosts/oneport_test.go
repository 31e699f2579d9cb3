package hosts

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cometbft/cometbft/p2p"

	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/gopeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
)

// TestOnePort links one node with real libp2p peers over every stack, dialed from either end, while a CometBFT switch
// on the same TCP port gets its messages echoed all the time.
func TestOnePort(t *testing.T) {
	t.Parallel()
	ours := node.Start(t, node.Config{})
	caller := callComet(t, ours)
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		for _, weDial := range []bool{true, false} {
			name := "they dial"
			if weDial {
				name = "we dial"
			}
			t.Run(name, func(t *testing.T) {
				p := pairWith(t, s, ours)
				p.weDial = weDial
				linked := p.connect(t).Connected
				for _, c := range conversations {
					t.Run(c.name, func(t *testing.T) { c.run(t, p) })
				}
				if i := p.await(t); i.Connected != linked || len(p.theirs.Network().ConnsToPeer(p.ours.PeerID())) != 1 {
					t.Errorf("the link was made again: %+v", i)
				}
			})
		}
	})
	t.Run("js-libp2p", func(t *testing.T) { meetJS(t, ours) })
	caller.finish(t)
}

// cometCaller is a CometBFT switch with a link to our node, which echoes its messages, one at a time.
type cometCaller struct {
	ours   *node.Node
	comet  *cometpeer.Node
	peer   p2p.Peer
	linked time.Time

	stop context.CancelFunc
	done sync.WaitGroup
	sent int
	slow time.Duration // the slowest echo
	err  error
}

func callComet(t *testing.T, ours *node.Node) *cometCaller {
	t.Helper()
	c := &cometCaller{ours: ours,
		comet: cometpeer.Start(t, cometpeer.Config{Network: node.Network, Moniker: "comet", NoPEX: true})}
	answers := make(chan []byte, 1)
	c.comet.Echo.Swap(func(e p2p.Envelope) { answers <- e.Message.(*cometpeer.Raw).Bytes })
	at, err := p2p.NewNetAddressString(ours.CometAddress())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.comet.Switch.DialPeerWithAddress(at); err != nil {
		t.Fatalf("CometBFT dials us: %v", err)
	}
	if c.peer = c.comet.Peer(string(ours.Key.ID())); c.peer == nil {
		t.Fatal("CometBFT has no link to us")
	}
	node.Await(t, "we have the link to CometBFT", func() bool { c.linked = c.since(); return !c.linked.IsZero() })
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	t.Cleanup(func() { cancel(); c.done.Wait() })
	pause := time.NewTicker(2 * time.Millisecond) // light load is enough
	t.Cleanup(pause.Stop)
	c.done.Go(func() {
		for ctx.Err() == nil && c.err == nil {
			c.err = c.echo(answers)
			<-pause.C
		}
	})
	return c
}

// since returns when our link came up, or zero without a link.
func (c *cometCaller) since() time.Time {
	for _, p := range c.ours.Host.Peers() {
		if string(p.ID) == c.comet.ID() && p.Wire == "comet" {
			return p.Connected
		}
	}
	return time.Time{}
}

func (c *cometCaller) echo(answers <-chan []byte) error {
	want := fmt.Appendf(nil, "message %d", c.sent)
	began := time.Now()
	if !c.peer.Send(p2p.Envelope{ChannelID: cometpeer.EchoChannel, Message: &cometpeer.Raw{Bytes: want}}) {
		return fmt.Errorf("%q could not be sent", want)
	}
	select {
	case got := <-answers:
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%q came back as %q", want, got)
		}
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%q was not echoed", want)
	}
	c.sent++
	c.slow = max(c.slow, time.Since(began))
	return nil
}

// finish reports how the switch fared.
func (c *cometCaller) finish(t *testing.T) {
	t.Helper()
	c.stop()
	c.done.Wait()
	if c.err != nil {
		t.Errorf("CometBFT on the same port, after %d echoes: %v", c.sent, c.err)
	}
	if c.since() != c.linked || !c.peer.IsRunning() {
		t.Error("the link of CometBFT on the same port did not last")
	}
	t.Logf("CometBFT on the same port: %d echoes, the slowest took %v", c.sent, c.slow.Round(time.Microsecond))
}
