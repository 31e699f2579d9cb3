// Command benchsync measures host/backfill beside the bare channel, and beside a verifier that needs no network: both
// ends in this process, over loopback sockets and each wire.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/backfill"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/internal/benchkit"
	"github.com/switchyard-p2p/switchyard/muxer"
)

const (
	small, manySmall = 1 << 10, 100_000
	large, manyLarge = 1 << 20, 2000
	verifying        = 100 * time.Microsecond // of a height
	manyVerified     = 50_000
)

// flat is a store whose heights all have the same item; what is put into it is dropped. So the memory that a chain
// needs is not measured.
type flat struct {
	item []byte
	has  backfill.Span
}

func (f *flat) Has(context.Context, uint64) (bool, error) { return false, nil }

func (f *flat) Get(_ context.Context, height uint64) ([]byte, error) {
	if !f.has.Has(height) {
		return nil, backfill.ErrNoHeight
	}
	return f.item, nil
}

func (f *flat) Put(context.Context, uint64, []byte) error { return nil }

func (f *flat) Range(_ context.Context, from, to uint64) ([]backfill.Span, error) {
	if f.has.Empty() {
		return nil, nil
	}
	return backfill.Spans{f.has}.Within(from, to), nil
}

// way is a wire over a transport.
type way struct{ name, listen, in string } // in: what the address of the listener has in it

var ways = []way{
	{"comet", "/ip4/%s/tcp/0", "/mconn/"},
	{"TCP+Noise", "/ip4/%s/tcp/0", "/p2p/"},
	{"QUIC", "/ip4/%s/udp/0/quic-v1", "/p2p/"},
}

// end is a running node with the service and a bare channel.
type end struct {
	node    *switchyard.Node
	service *backfill.Service
	channel *host.Channel
}

// pair is two nodes with a link between them. The second has the store.
type pair struct {
	a, b end
	stop func()
}

func (w way) open(store *flat) (p *pair, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	var nodes []*switchyard.Node
	p = &pair{stop: func() {
		cancel()
		running.Wait()
		for _, n := range nodes {
			_ = n.Close()
		}
	}}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	for i, e := range []*end{&p.a, &p.b} {
		e.node, err = switchyard.New(ctx, switchyard.Network("bench"), switchyard.Tune(func(c *host.Config) {
			c.MoveTo = nil
			c.Peers.MaxOutbound = -1
		}), switchyard.Listen(fmt.Sprintf(w.listen, benchkit.FreshIP())))
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, e.node)
		h := e.node.Host()
		if e.channel, err = h.OpenChannel(muxer.Channel{ID: 0x7d}); err != nil {
			return nil, err
		}
		own := &flat{has: backfill.Span{From: 1}}
		if i == 1 {
			own = store
		}
		if e.service, err = backfill.New(backfill.Config{}, h, own, nil); err != nil {
			return nil, err
		}
		running.Go(func() { _ = e.node.Run(ctx) })
		running.Go(func() { _ = e.service.Run(ctx) })
		if err := h.WaitListening(ctx); err != nil {
			return nil, err
		}
	}
	for _, at := range p.b.node.Addresses() {
		if strings.Contains(at.String(), w.in) {
			link := hosttest.Pair{A: p.a.node.Host(), B: p.b.node.Host()}
			return p, link.Link(at)
		}
	}
	return nil, errors.New("no address")
}

// sync measures how many heights a second a Sync commits.
func (w way) sync(heights uint64, size int, verify backfill.Verify) benchkit.Measure {
	return func(time.Duration) (benchkit.Figure, error) {
		store := &flat{item: bytes.Repeat([]byte{7}, size), has: backfill.Span{From: 1, To: heights}}
		p, err := w.open(store)
		if err != nil {
			return benchkit.Figure{}, err
		}
		defer p.stop()
		return timed(int(heights), func() error {
			return p.a.service.Sync(context.Background(), backfill.Task{From: 1, To: heights, Verify: verify})
		})
	}
}

// bare measures how many messages a second the bare channel moves.
func (w way) bare(messages, size int) benchkit.Measure {
	return func(time.Duration) (benchkit.Figure, error) {
		p, err := w.open(&flat{})
		if err != nil {
			return benchkit.Figure{}, err
		}
		defer p.stop()
		ctx := context.Background()
		msg := bytes.Repeat([]byte{7}, size)
		return timed(messages, func() error {
			sent := make(chan error, 1)
			go func() {
				for range messages {
					if err := p.b.channel.Send(ctx, p.a.node.Host().Self(), msg); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			for range messages {
				e, err := p.a.channel.Receive(ctx)
				if err != nil {
					return err
				}
				e.Release()
			}
			return <-sent
		})
	}
}

// alone measures how many heights a second a verifier does alone.
func alone(heights int, verify backfill.Verify) benchkit.Measure {
	return func(time.Duration) (benchkit.Figure, error) {
		return timed(heights, func() error {
			for h := range heights {
				if err := verify(context.Background(), uint64(h), nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func timed(units int, fn func() error) (benchkit.Figure, error) {
	return benchkit.Counted(func() (int, float64, error) {
		began := time.Now()
		err := fn()
		return units, float64(units) / time.Since(began).Seconds(), err
	})
}

// busy is a verifier that computes for a while.
func busy(context.Context, uint64, []byte) error {
	for began := time.Now(); time.Since(began) < verifying; {
	}
	return nil
}

func main() {
	var rows []benchkit.Row
	for _, w := range ways {
		row := func(name, goal string, ours, theirs benchkit.Measure) {
			rows = append(rows, benchkit.Row{Name: "sync, " + w.name + ": " + name, Unit: "/s", Goal: goal, Ours: ours,
				Theirs: theirs})
		}
		row("100,000 heights of 1 KiB, the bare channel", ">= 0.5", w.sync(manySmall, small, nil),
			w.bare(manySmall, small))
		row("2,000 heights of 1 MiB, the bare channel", ">= 0.5", w.sync(manyLarge, large, nil),
			w.bare(manyLarge, large))
		row("heights of 1 KiB, verified in 100 us each, the verifier", ">= 0.9", w.sync(manyVerified, small, busy),
			alone(manyVerified, busy))
	}
	benchkit.Main(benchkit.Table{Peer: "beside", Rows: rows})
}
