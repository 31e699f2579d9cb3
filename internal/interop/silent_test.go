package interop

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
	"github.com/switchyard-p2p/switchyard/internal/interop/node"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// TestSilentConnections opens 500 connections that send nothing, from several IPs, which take every handshake slot.
// They must not measurably delay the connections of real peers. A connection that loses its slot or times out is opened
// again at once.
func TestSilentConnections(t *testing.T) {
	const connects = 20
	ours := node.Start(t, node.Config{Network: network, Moniker: "ours", Channels: []muxer.Channel{echoChannel}})
	c := cometpeer.Start(t, cometpeer.Config{Network: network, Moniker: "comet", NoPEX: true})
	measure := func() (median, worst time.Duration) {
		var took []time.Duration
		for i := range connects {
			began := time.Now()
			peer := dialFrom(t, c, ours.Address().CometString())
			if peer == nil {
				t.Fatalf("the real peer was refused at connect %d", i)
			}
			took = append(took, time.Since(began))
			c.Switch.StopPeerGracefully(peer)
			waitFor(t, 10*time.Second, "our node sees that the peer has gone", func() bool {
				return len(ours.Host.Peers()) == 0
			})
		}
		slices.Sort(took)
		return took[connects/2], took[connects-1]
	}
	alone, aloneWorst := measure()

	f := startFlood(t, ours.Address().CometString()[41:], 8, 64, nil)
	waitFor(t, 10*time.Second, "500 silent connections", func() bool { return f.open.Load() >= 500 })
	crowded, crowdedWorst := measure()
	open := f.open.Load()
	f.stop()
	t.Logf("%d connects of a real peer: median %v, worst %v; "+
		"beside %d silent connections (%d were made): median %v, worst %v",
		connects, alone, aloneWorst, open, f.made.Load(), crowded, crowdedWorst)
	if crowded > alone+time.Second {
		t.Error("silent connections delay a real peer")
	}
}

// flood keeps many connections from many IPs open, and reopens those that are closed.
type flood struct {
	open, made atomic.Int64
	cancel     context.CancelFunc
	done       sync.WaitGroup
}

// startFlood keeps each connections open from each of the IPs 127.0.0.2 and up. greet, unless nil, writes to each.
func startFlood(t *testing.T, address string, ips, each int, greet func(net.Conn)) *flood {
	ctx, cancel := context.WithCancel(context.Background())
	f := &flood{cancel: cancel}
	t.Cleanup(f.stop)
	for i := range ips {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(fmt.Sprintf("127.0.0.%d", 2+i))},
			Timeout: 5 * time.Second}
		for range each {
			f.done.Go(func() {
				again := time.NewTicker(50 * time.Millisecond) // bounds what the flood costs this process
				defer again.Stop()
				for ctx.Err() == nil {
					f.one(ctx, &dialer, address, greet)
					select {
					case <-again.C:
					case <-ctx.Done():
					}
				}
			})
		}
	}
	return f
}

// one holds one connection until either end closes it.
func (f *flood) one(ctx context.Context, dialer *net.Dialer, address string, greet func(net.Conn)) {
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	f.made.Add(1)
	f.open.Add(1)
	defer f.open.Add(-1)
	if greet != nil {
		greet(conn)
	}
	_, _ = io.Copy(io.Discard, conn)
}

// stop ends the flood and waits for it. It may be called twice.
func (f *flood) stop() {
	f.cancel()
	f.done.Wait()
}
