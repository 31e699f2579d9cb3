package host_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

const askChannel = 0x71

// fullNode makes a network whose first node has one inbound slot, which its second node has taken, and answers visitors
// on askChannel. The others do not run.
func fullNode(t *testing.T, wire string, nodes int, fn func(t *testing.T, net *hosttest.Network, full *hosttest.Node)) {
	inNet(t, hosttest.Options{Nodes: nodes, Conditions: wan, Stopped: true,
		Speaks:   func(*hosttest.Node) []string { return []string{wire} },
		Channels: []muxer.Channel{{ID: hosttest.TestChannel}, {ID: askChannel}},
		Tune: func(n *hosttest.Node, c *host.Config) {
			c.Peers.MaxInbound, c.Peers.MaxUpgrades = 1, -1
			if n.Index == 0 {
				c.Peers.MaxOutbound = -1
			}
		},
		Services: func(n *hosttest.Node) ([]hosttest.Service, error) {
			n.Channels[1].AnswerVisitors(func(from host.PeerInfo, msg []byte) []byte {
				if string(msg) != "who?" {
					return nil
				}
				return []byte("to " + string(from.ID))
			})
			return nil, nil
		},
	}, func(t *testing.T, net *hosttest.Network) {
		net.Nodes[0].Start()
		net.Nodes[1].Start()
		net.Nodes[1].Dial(net.Nodes[0])
		fn(t, net, net.Nodes[0])
	})
}

// A newcomer that finds all inbound slots taken gets one answer, and is refused then. No service but the one that
// answers hears of it, and it is no peer.
func TestANewcomerAsksAFullNodeBeforeItIsRefused(t *testing.T) {
	for _, wire := range []string{transport.WireComet, transport.WireLibp2p} {
		t.Run(wire, func(t *testing.T) {
			fullNode(t, wire, 3, func(t *testing.T, net *hosttest.Network, full *hosttest.Node) {
				newcomer := net.Nodes[2]
				newcomer.Start()
				newcomer.Dial(full)
				answers := make(chan string, 10)
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() {
					for {
						e, err := newcomer.Channels[1].Receive(ctx)
						if err != nil {
							return
						}
						answers <- string(e.Message)
					}
				})
				for _, c := range []int{0, 1, 1, 1} {
					text := "who?"
					if c == 0 {
						text = "hello"
					}
					if !newcomer.Channels[c].TrySend(full.ID, []byte(text)) {
						t.Error("not sent")
					}
				}
				u := net.AwaitUpdate(newcomer, full, host.PeerDown, 1)
				if wire == transport.WireLibp2p && (u.Reason.Code != muxer.CodeTooManyPeers || !u.Reason.Remote) {
					t.Errorf("refused with %v", u.Reason)
				}
				if up := newcomer.Updates(full)[0].At; u.At.Sub(up) > 3*time.Second {
					t.Errorf("refused %v after the link was up", u.At.Sub(up))
				}
				cancel()
				wg.Wait()
				if len(answers) != 1 || <-answers != "to "+string(newcomer.ID) {
					t.Errorf("%d answers", len(answers))
				}
				if updates := full.Updates(newcomer); len(updates) != 0 {
					t.Errorf("services of the full node heard %v", updates)
				}
				synctest.Wait()
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if e, err := full.Channels[0].Receive(ctx); err == nil {
					t.Errorf("another service of the full node received %q", e.Message)
				}
				refused := net.AwaitEvent(full, "the refusal", func(e host.Event) bool {
					return e.Kind == host.EventRefused && e.ID == newcomer.ID
				})
				if refused.Reason.Limit != "peers.max_inbound" || len(full.Events(host.EventUp)) != 1 {
					t.Errorf("the full node tells of %v", full.Events(""))
				}
				if len(full.Host.PeerManager().Addresses(newcomer.ID)) == 0 {
					t.Error("the full node does not know where the newcomer is")
				}
				net.AssertTruth()
			})
		})
	}
}

// A newcomer that asks nothing is refused after a while.
func TestASilentVisitorIsRefused(t *testing.T) {
	for _, wire := range []string{transport.WireComet, transport.WireLibp2p} {
		t.Run(wire, func(t *testing.T) {
			fullNode(t, wire, 3, func(t *testing.T, net *hosttest.Network, full *hosttest.Node) {
				newcomer := net.Nodes[2]
				newcomer.Start()
				newcomer.Dial(full)
				newcomer.Channels[1].TrySend(full.ID, []byte("no question"))
				u := net.AwaitUpdate(newcomer, full, host.PeerDown, 1)
				if stayed := u.At.Sub(newcomer.Updates(full)[0].At); stayed.Round(5*time.Second) != 20*time.Second {
					t.Errorf("it stayed for %v: %v", stayed, u.Reason)
				}
			})
		})
	}
}

// A service that panics at a visitor's question answers none any more, and the node goes on.
func TestAVisitorsQuestionThatPanics(t *testing.T) {
	fullNode(t, transport.WireComet, 3, func(t *testing.T, net *hosttest.Network, full *hosttest.Node) {
		full.Channels[1].AnswerVisitors(func(host.PeerInfo, []byte) []byte { panic("boom") })
		newcomer := net.Nodes[2]
		newcomer.Start()
		newcomer.Dial(full)
		newcomer.Channels[1].TrySend(full.ID, []byte("who?"))
		time.Sleep(time.Minute)
		if !full.Has(net.Nodes[1]) || newcomer.Has(full) {
			t.Errorf("the full node has its peer: %v, and the newcomer: %v", full.Has(net.Nodes[1]),
				newcomer.Has(full))
		}
	})
}

// Of the newcomers that ask nothing only so many are let in at once.
func TestVisitorsAreBounded(t *testing.T) {
	const nodes = 120
	fullNode(t, transport.WireComet, nodes, func(t *testing.T, net *hosttest.Network, full *hosttest.Node) {
		for _, n := range net.Nodes[2:] {
			n.Start()
			n.Learn(full)
		}
		time.Sleep(10 * time.Second)
		up := 0
		for _, n := range net.Nodes[2:] {
			if n.Has(full) {
				up++
			}
		}
		if up != 64 {
			t.Errorf("%d visitors at once", up)
		}
	})
}

// A newcomer says, once, that the only node that it knows is full.
func TestANewcomerSaysThatTheOnlyNodeItKnowsIsFull(t *testing.T) {
	for _, wire := range []string{transport.WireComet, transport.WireLibp2p} {
		t.Run(wire, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var log bytes.Buffer
				net := hosttest.New(t, hosttest.Options{Nodes: 3, Stopped: true, Conditions: wan,
					Speaks: func(*hosttest.Node) []string { return []string{wire} },
					Logger: slog.New(slog.NewTextHandler(&lockedWriter{&mu, &log}, nil)),
					Tune:   func(_ *hosttest.Node, c *host.Config) { c.Peers.MaxInbound, c.Peers.MaxUpgrades = 1, -1 }})
				for _, n := range net.Nodes {
					n.Start()
				}
				net.Nodes[1].Dial(net.Nodes[0])
				net.Nodes[2].Learn(net.Nodes[0])
				time.Sleep(time.Hour)
				mu.Lock()
				defer mu.Unlock()
				if said := strings.Count(log.String(), "the only node that this one knows"); said != 1 {
					t.Errorf("said %d times:\n%s", said, &log)
				}
			})
		})
	}
}

// lockedWriter writes while it holds a lock.
type lockedWriter struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}
