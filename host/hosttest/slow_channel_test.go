package hosttest_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	store "github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
)

// slowEnd is a host with channels, which runs until the end of the test.
func (w way) slowEnd(t *testing.T, channels []muxer.Channel) (*host.Host, []*host.Channel) {
	t.Helper()
	key, err := handshake.GenerateNodeKey()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := w.transport(key)
	if err != nil {
		t.Fatal(err)
	}
	wire, err := w.wire(key)
	if err != nil {
		t.Fatal(err)
	}
	h, err := host.New(t.Context(), host.Config{Network: "slow", Identity: key, Store: store.New(peerstore.Limits{}),
		Transports: []transport.Transport{tr}, Wires: []handshake.Wire{wire},
		Listen: []ma.Multiaddr{ma.StringCast(w.listen)}})
	if err != nil {
		t.Fatal(err)
	}
	var out []*host.Channel
	for _, desc := range channels {
		c, err := h.OpenChannel(desc)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	if err := h.WaitListening(ctx); err != nil {
		t.Fatal(err)
	}
	return h, out
}

// Services that receive nothing, on channels that block, hold up their channels alone where the wire has streams: a
// channel beside them goes on while 64 MiB wait for the slow ones, nothing is lost, and the budgets hold.
func TestAFullChannelHoldsUpItselfAlone(t *testing.T) {
	const (
		piece   = 64 << 10
		offered = 64 << 20 / piece // messages of the slow channels, together
		queue   = 512 << 10
	)
	for _, w := range ways() {
		if w.want[0] != transport.WireLibp2p {
			continue
		}
		for _, slow := range []int{1, 8} {
			if slow > 1 && w.want[1] == "quic" {
				continue // their windows may use up the connection's: see quic.Config.MaxStreamWindow
			}
			t.Run(fmt.Sprintf("%s, %d slow", w.name, slow), func(t *testing.T) {
				channels := []muxer.Channel{{ID: 1, Name: "/slow/fast/1"}}
				for i := range slow {
					channels = append(channels, muxer.Channel{ID: byte(i + 2), Name: fmt.Sprintf("/slow/%d/1", i),
						ReceiveQueue: queue, SendQueue: queue})
				}
				a, froms := w.slowEnd(t, channels)
				b, tos := w.slowEnd(t, channels)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if _, err := a.Dial(ctx, b.SelfAddresses()[0]); err != nil {
					t.Fatal(err)
				}
				to := b.Self()
				var senders sync.WaitGroup
				for _, c := range froms[1:] {
					senders.Go(func() {
						for i := range offered / slow {
							if err := c.Send(ctx, to, hosttest.Numbered(i, piece)); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				const rounds = 2000
				senders.Go(func() {
					for i := range rounds {
						if err := froms[0].Send(ctx, to, hosttest.Numbered(i, 20_000)); err != nil {
							t.Error(err)
							return
						}
					}
				})
				for i := range rounds { // 40 MB, more than any window
					e, err := tos[0].Receive(ctx)
					if err != nil {
						t.Fatalf("the fast channel stands still after %d messages: %v", i, err)
					}
					e.Release()
				}
				pings, err := a.OpenStream(ctx, to, "/ipfs/ping/1.0.0") // a stream that is new, too
				if err != nil {
					t.Fatal(err)
				}
				_ = pings.SetDeadline(time.Now().Add(time.Minute))
				for range 10 {
					if _, err := pings.Write(make([]byte, 32)); err != nil {
						t.Fatal("ping:", err)
					}
					if _, err := io.ReadFull(pings, make([]byte, 32)); err != nil {
						t.Fatal("ping:", err)
					}
				}
				_ = pings.Close()
				info, _ := b.Peer(a.Self())
				// of the queues, and of what is beyond them: limits.peer_overflow, and a message for each channel
				if most := int64(slow)*(queue+2*piece) + 1<<20; info.ReceiveQueued > most {
					t.Errorf("%d bytes wait, of %d at most", info.ReceiveQueued, most)
				}
				for _, c := range tos[1:] {
					var got [][]byte
					for range offered / slow {
						e, err := c.Receive(ctx)
						if err != nil {
							t.Fatalf("a slow channel, after %d messages: %v", len(got), err)
						}
						got = append(got, e.Message)
					}
					hosttest.AssertNumbered(t, got, 0, piece)
				}
				senders.Wait()
			})
		}
	}
}
