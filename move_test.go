package switchyard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// movingNode is a node that counts what comes on its channel, which must be numbered.
type movingNode struct {
	*Node
	channel *host.Channel
	events  <-chan host.Event
	heard   *host.Subscription
	next    uint64     // the number of the next message; of the goroutine that serves the channel
	got     chan error // errLast, or which message was out of order
}

const lastMessage = 1 << 63

func newMovingNode(t *testing.T, name string, opts ...Option) *movingNode {
	n := &movingNode{Node: build(t, append(opts, Moniker(name), loopback)...), got: make(chan error, 1)}
	var err error
	if n.channel, err = n.Host().OpenChannel(muxer.Channel{ID: 0x55, Name: "/test/move"}); err != nil {
		t.Fatal(err)
	}
	n.events, n.heard = n.Host().Events(t.Context()), n.Host().Subscribe(t.Context())
	run(t, n.Node)
	go func() {
		n.got <- n.channel.Serve(t.Context(), func(_ context.Context, e host.Envelope) error { return n.count(e) })
	}()
	return n
}

var errLast = errors.New("that was the last one")

// count is called with each message.
func (n *movingNode) count(e host.Envelope) error {
	number := binary.BigEndian.Uint64(e.Message)
	switch {
	case number&^lastMessage != n.next:
		return fmt.Errorf("message %d in place of %d", number, n.next)
	case number&lastMessage != 0:
		return errLast
	}
	n.next++
	return nil
}

// comet returns the address at which a node speaks comet.
func comet(t *testing.T, n *Node) transport.Address {
	for _, a := range n.Addresses() {
		if a.Wire() == transport.WireComet {
			return a
		}
	}
	t.Fatal("the node does not speak comet")
	return transport.Address{}
}

// Two standard nodes that meet over comet move to QUIC while both send, and nobody notices.
func TestMoveToQUIC(t *testing.T) {
	a, b := newMovingNode(t, "anna"), newMovingNode(t, "bob")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	before, err := a.Host().Dial(ctx, comet(t, b.Node))
	if err != nil || before.Transport != "tcp" {
		t.Fatalf("%+v, %v", before, err)
	}
	var moved [2]atomic.Bool
	sent := make(chan error, 2)
	for i, n := range []*movingNode{a, b} {
		to := []*movingNode{b, a}[i].Host().Self()
		go func() {
			msg := func(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }
			number := uint64(0)
			for more := 1000; more > 0; number++ { // so many after the move
				if err := n.channel.Send(ctx, to, msg(number)); err != nil {
					sent <- err
					return
				}
				if moved[0].Load() && moved[1].Load() {
					more--
				}
			}
			sent <- n.channel.Send(ctx, to, msg(number|lastMessage))
		}()
	}
	for i, n := range []*movingNode{a, b} {
		for e := range n.events {
			if e.Kind == host.EventMoved {
				if !strings.Contains(e.Address, "/quic-v1") {
					t.Errorf("moved to %s", e.Address)
				}
				moved[i].Store(true)
				break
			}
		}
	}
	for range 2 {
		if err := <-sent; err != nil {
			t.Error(err)
		}
	}
	for i, n := range []*movingNode{a, b} {
		other := []*movingNode{b, a}[i].Host().Self()
		if err := <-n.got; err != errLast {
			t.Error(err)
		}
		if p, _ := n.Host().Peer(other); p.Transport != "quic" || n == a && p.Peering != before.Peering {
			t.Errorf("the link is over %s, peering %d, was %d", p.Transport, p.Peering, before.Peering)
		}
		if u, err := n.heard.Next(ctx); err != nil || u.Status != host.PeerUp || u.ID != other {
			t.Errorf("%+v, %v", u, err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if u, err := n.heard.Next(ended); err == nil {
			t.Errorf("and then %+v", u)
		}
	}
}
