package hosttest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
)

// Collect starts to receive all messages of a channel of Options.Channels, until the node stops. Messages returns them.
// It is called once a channel and run of the node.
func (n *Node) Collect(channel byte) {
	n.net.t.Helper()
	c := n.Channel(channel)
	n.wg.Go(func() {
		for {
			e, err := c.Receive(context.Background()) // ends with the host
			if err != nil {
				return
			}
			n.mu.Lock()
			n.letters[channel] = append(n.letters[channel], e)
			n.mu.Unlock()
		}
	})
}

// Channel returns the node's channel of that id; it ends the test if Options.Channels has none.
func (n *Node) Channel(id byte) *host.Channel {
	n.net.t.Helper()
	for _, c := range n.Channels {
		if c.Descriptor().ID == id {
			return c
		}
	}
	n.net.t.Fatalf("%s has no channel 0x%02x", n.Name, id)
	return nil
}

// Messages returns what Collect has received of from (nil: of all), in order of arrival. It may be called concurrently.
func (n *Node) Messages(channel byte, from *Node) [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out [][]byte
	for _, e := range n.letters[channel] {
		if from == nil || e.From == from.ID {
			out = append(out, e.Message)
		}
	}
	return out
}

// AwaitMessages waits until Collect has received at least count messages of from (nil: of all), and returns them.
func (net *Network) AwaitMessages(n *Node, channel byte, from *Node, count int) [][]byte {
	net.t.Helper()
	var got [][]byte
	net.Await(fmt.Sprintf("%s has received %d messages on channel 0x%02x", n.Name, count, channel), func() string {
		if got = n.Messages(channel, from); len(got) < count {
			return fmt.Sprintf("It has %d.", len(got))
		}
		return ""
	})
	return got
}

// quiet is how long AssertReceives waits for messages that should not come.
const quiet = 5 * time.Second

// AssertReceives checks that a node, which is to Collect on that channel, receives exactly these messages and nothing
// more: of each sender in this order, and of nobody else, since it began to Collect or since the last call.
func (net *Network) AssertReceives(n *Node, channel byte, want ...host.Envelope) {
	net.t.Helper()
	received := func() []host.Envelope {
		n.mu.Lock()
		defer n.mu.Unlock()
		return slices.Clone(n.letters[channel][n.asserted[channel]:])
	}
	net.wait(net.o.Patience, func() string {
		if len(received()) < len(want) {
			return "not yet"
		}
		return ""
	})
	time.Sleep(quiet)
	got := received()
	n.mu.Lock()
	n.asserted[channel] += len(got)
	n.mu.Unlock()
	for _, e := range got {
		i := slices.IndexFunc(want, func(w host.Envelope) bool { return w.From == e.From })
		if i < 0 {
			net.t.Errorf("%s received %.40q of %s on channel 0x%02x; nothing more was to come", n.Name, e.Message,
				net.NameOf(e.From), channel)
			continue
		}
		if !bytes.Equal(want[i].Message, e.Message) {
			net.t.Errorf("%s received %.40q of %s on channel 0x%02x, want %.40q", n.Name, e.Message,
				net.NameOf(e.From), channel, want[i].Message)
		}
		want = slices.Delete(slices.Clone(want), i, i+1)
	}
	for _, w := range want {
		net.t.Errorf("%s did not receive %.40q of %s on channel 0x%02x", n.Name, w.Message, net.NameOf(w.From), channel)
	}
}

// AssertDelivers sends count numbered messages of size bytes (at least 8) from one node to another, which is to Collect
// on that channel, and checks that they all arrive, once, whole and in order. Other messages of the sender must not be
// under way on the channel.
func (net *Network) AssertDelivers(from, to *Node, channel byte, count, size int) {
	net.t.Helper()
	before := len(to.Messages(channel, from))
	ctx, cancel := context.WithTimeout(context.Background(), net.o.Patience)
	defer cancel()
	for i := range count {
		if err := from.Channel(channel).Send(ctx, to.ID, Numbered(i, size)); err != nil {
			net.t.Fatalf("%s sends message %d of %d to %s: %v\n%s", from.Name, i, count, to.Name, err, net)
		}
	}
	got := net.AwaitMessages(to, channel, from, before+count)[before:]
	AssertNumbered(net.t, got, 0, size)
}

// Numbered returns the i-th of a row of messages of size bytes (at least 8), each of which can be told from all others.
func Numbered(i, size int) []byte {
	b := make([]byte, max(size, 8))
	binary.BigEndian.PutUint64(b, uint64(i))
	for k := 8; k < len(b); k++ {
		b[k] = byte(i*31 + k)
	}
	return b
}

// AssertNumbered checks that msgs are Numbered messages, whole, in order and without a gap, from first on.
func AssertNumbered(t interface {
	Helper()
	Errorf(string, ...any)
}, msgs [][]byte, first, size int) {
	t.Helper()
	for i, m := range msgs {
		if !bytes.Equal(m, Numbered(first+i, size)) {
			got := "none of the row"
			if len(m) >= 8 {
				got = fmt.Sprintf("number %d, %d bytes", binary.BigEndian.Uint64(m), len(m))
			}
			t.Errorf("the message at place %d is %s; want number %d, %d bytes", i, got, first+i, max(size, 8))
			return
		}
	}
}
