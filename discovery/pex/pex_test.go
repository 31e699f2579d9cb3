package pex

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/pexpb"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// wire makes n addresses that are all right, from the number on.
func wire(from, n int) (out []*pexpb.PexAddress) {
	for i := from; i < from+n; i++ {
		out = append(out, &pexpb.PexAddress{Id: fmt.Sprintf("%040x", 1_000_000+i),
			Ip: fmt.Sprintf("10.%d.%d.%d", 1+i>>16, i>>8&255, i&255), Port: 26656})
	}
	return out
}

func TestAsksAtOnceAndTakesTheAnswer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.node(0, Config{}), w.node(1, Config{})
		c := w.bare(2)
		b.known = []transport.Address{c.addr}
		w.link(a, b)
		time.Sleep(3 * w.delay)
		got := a.knows()
		if len(got) != 2 || got[0] != b.addr || got[1] != c.addr {
			t.Errorf("a knows %v", got)
		}
		if len(b.knows()) != 1 {
			t.Errorf("b asked the one that dialed it, though it needs no peers: it knows %v", b.knows())
		}
		if a.worst() != host.Log || b.worst() != host.Log {
			t.Error("a peer was reported")
		}
	})
}

// A peer with CometBFT's rule (two requests free, then one per 10 s) never sees us too early, however slow the network,
// and we use what it allows.
func TestAsksAsOftenAsCometBFTTolerates(t *testing.T) {
	for _, delay := range []time.Duration{0, 10 * time.Millisecond, 3 * time.Second} {
		inWorld(t, func(t *testing.T, w *world) {
			w.delay = delay
			a, b := w.node(0, Config{}), w.bare(1)
			a.needs = true
			w.link(a, b)
			count := 0
			var last time.Time
			for begun := time.Now(); time.Since(begun) < time.Hour; time.Sleep(500 * time.Millisecond) {
				requests, _ := b.heard()
				for _, at := range requests {
					if count++; count > 2 && at.Sub(last) < requestInterval {
						t.Fatalf("delay %v: request %d came %v after the last", delay, count, at.Sub(last))
					}
					last = at
					b.say(a, pexpb.EncodeResponse(wire(0, 1)))
				}
				if time.Since(begun) > 20*time.Second+8*delay && count < 3 {
					t.Fatalf("delay %v: only %d requests after %v", delay, count, time.Since(begun))
				}
			}
			if count < 80 || count > 200 {
				t.Errorf("delay %v: %d requests in an hour", delay, count)
			}
			if !a.isLinked(b) {
				t.Error("the link is gone")
			}
		})
	}
}

func TestAsksSeldomWithoutNeed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, out, in := w.node(0, Config{}), w.bare(1), w.bare(2)
		w.link(a, out)
		w.link(in, a)
		count := map[*fakeNode]int{}
		for begun := time.Now(); time.Since(begun) < time.Hour; time.Sleep(time.Second) {
			for _, b := range []*fakeNode{out, in} {
				requests, _ := b.heard()
				for range requests {
					count[b]++
					b.say(a, pexpb.EncodeResponse(nil))
				}
			}
		}
		for _, b := range []*fakeNode{out, in} {
			if count[b] < 6 || count[b] > 26 {
				t.Errorf("%d requests in an hour", count[b])
			}
		}
	})
}

func TestNeedIsNoticed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, in := w.node(0, Config{}), w.bare(2)
		w.link(in, a)
		time.Sleep(time.Minute)
		if requests, _ := in.heard(); len(requests) != 0 {
			t.Fatalf("%d requests without need", len(requests))
		}
		w.mu.Lock()
		a.needs = true
		w.mu.Unlock()
		time.Sleep(needCheck + time.Second)
		if requests, _ := in.heard(); len(requests) != 1 {
			t.Errorf("%d requests when peers are needed", len(requests))
		}
	})
}

func TestPeersWithoutTheChannelAreLeftAlone(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.node(0, Config{}), w.bare(1)
		a.needs = true
		w.mu.Lock()
		a.peers[b.id], b.peers[a.id] = &fakeLink{}, &fakeLink{}
		a.notify(host.PeerUpdate{ID: b.id, Status: host.PeerUp, Channels: []byte{0x7e}})
		w.mu.Unlock()
		time.Sleep(time.Minute)
		if requests, _ := b.heard(); len(requests) != 0 {
			t.Errorf("%d requests", len(requests))
		}
	})
}

// A peer that never answers is not asked again: it may only be stalled, and read all requests together.
func TestSilentPeer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.node(0, Config{}), w.bare(1)
		a.needs = true
		w.link(a, b)
		time.Sleep(time.Hour)
		if requests, _ := b.heard(); len(requests) != 1 {
			t.Errorf("%d requests", len(requests))
		}
		b.say(a, pexpb.EncodeResponse(wire(0, 3))) // its late answer is all right
		time.Sleep(time.Minute)
		if requests, _ := b.heard(); a.worst() != host.Log || len(a.knows()) != 3 || len(requests) != 1 {
			t.Errorf("late answer: %v, %d known, then %d requests", a.worst(), len(a.knows()), len(requests))
		}
	})
}

// found may block for any time: the source goes on answering, and the answers that wait are bounded.
func TestBackpressure(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.node(0, Config{})
		a.block = make(chan struct{})
		for i := range 2 * maxWaiting {
			b := w.bare(1 + i)
			w.link(a, b)
			time.Sleep(3 * w.delay)
			b.say(a, pexpb.EncodeResponse(wire(100*i, 100)))
			b.say(a, pexpb.EncodeRequest())
			time.Sleep(3 * w.delay)
			if _, responses := b.heard(); len(responses) != 1 {
				t.Fatalf("peer %d got %d answers", i, len(responses))
			}
		}
		w.mu.Lock()
		close(a.block)
		w.mu.Unlock()
		time.Sleep(time.Second)
		if got := len(a.knows()); got != 100*(maxWaiting+1) { // one batch was on its way
			t.Errorf("%d addresses handed over", got)
		}
	})
}

func TestNothingIsKeptOfPeersThatWent(t *testing.T) {
	l := &loop{node: &fakeNode{w: &world{nodes: map[transport.NodeID]*fakeNode{}}, id: "self"},
		peers: map[transport.NodeID]*peer{}, gone: map[transport.NodeID]gonePeer{}, quota: newQuota(),
		jitter: func(d time.Duration) time.Duration { return d / 2 }, ch: deafLane{}}
	now := time.Now()
	for i := range quotaPeers + 2*maxGone {
		id := transport.NodeID(fmt.Sprintf("%040x", i))
		l.update(host.PeerUpdate{ID: id, Status: host.PeerUp, Channels: []byte{ChannelID}}, now)
		l.peers[id].open = true
		l.act(now)
		l.quota.take(id, 10, now)
		l.update(host.PeerUpdate{ID: id, Status: host.PeerDown}, now)
		now = now.Add(time.Millisecond)
	}
	if len(l.peers) != 0 || len(l.quota.spent) > quotaPeers || len(l.gone) > maxGone {
		t.Errorf("%d peers, %d accounts and %d of those that went are kept",
			len(l.peers), len(l.quota.spent), len(l.gone))
	}
	if l.act(now.Add(2 * goneTime)); len(l.gone) != 0 {
		t.Errorf("%d of those that went are kept for ever", len(l.gone))
	}
}

type deafLane struct{ lane }

func (deafLane) TrySend(transport.NodeID, []byte) bool { return false }

func TestRunEndsWithItsNode(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.bare(0)
		err := newSource(Config{}, stoppedLane{a}, nil).run(w.ctx, a, fakeUpdates{a}, a.found)
		if !errors.Is(err, host.ErrStopped) {
			t.Errorf("Run returned %v", err)
		}
		ctx, stop := context.WithCancel(w.ctx)
		stop()
		if err := newSource(Config{}, a, nil).run(ctx, a, fakeUpdates{a}, a.found); err != nil {
			t.Errorf("Run returned %v when its context ended", err)
		}
	})
}

type stoppedLane struct{ lane }

func (stoppedLane) Receive(context.Context) (host.Envelope, error) {
	return host.Envelope{}, host.ErrStopped
}

// Nodes that know one seed and start together are all connected within seconds, whether the seed is an ordinary node or
// a seed by trade.
func TestNetworkConverges(t *testing.T) {
	for name, cfg := range map[string]Config{"ordinary": {}, "seed": {Seed: true}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				const nodes = 30
				seed := w.node(0, cfg)
				all := []*fakeNode{}
				for i := range nodes {
					n := w.node(1+i, Config{})
					n.slots = 8
					all = append(all, n)
					w.link(n, seed)
				}
				begun := time.Now()
				for time.Since(begun) < time.Minute {
					time.Sleep(100 * time.Millisecond)
					done := 0
					for _, n := range all {
						w.mu.Lock()
						if n.outbound() >= n.slots {
							done++
						}
						w.mu.Unlock()
					}
					if done == nodes {
						t.Logf("converged after %v", time.Since(begun))
						if time.Since(begun) > 10*time.Second {
							t.Error("too slow")
						}
						for _, n := range append(all, seed) {
							if n.worst() != host.Log {
								t.Errorf("%s reported %+v", n.id, n.reports)
							}
						}
						return
					}
				}
				t.Error("not connected after a minute")
			})
		})
	}
}

func TestSeed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		seed := w.node(0, Config{Seed: true})
		other := w.bare(9)
		seed.known = []transport.Address{other.addr}

		// The seed answers a visitor once, asks it too, and hangs up.
		visitor := w.bare(1)
		w.link(visitor, seed)
		visitor.say(seed, pexpb.EncodeRequest())
		time.Sleep(2 * w.delay)
		requests, responses := visitor.heard()
		if len(requests) != 1 || len(responses) != 1 || len(responses[0]) != 2 {
			t.Fatalf("%d requests, responses %v", len(requests), responses)
		}
		visitor.say(seed, pexpb.EncodeResponse(wire(0, 5)))
		time.Sleep(time.Second)
		if seed.isLinked(visitor) || len(seed.hungUp) != 1 || seed.hungUp[0] != muxer.CodeInquiryDone {
			t.Errorf("after its answer: linked %v, ended with %v", seed.isLinked(visitor), seed.hungUp)
		}
		if len(seed.knows()) != 6 {
			t.Errorf("the seed knows %d", len(seed.knows()))
		}

		// The seed waits for an answer that it asked for, but not for long; a peer that never asks may stay for a
		// while.
		mute, idle := w.bare(2), w.bare(3)
		w.link(mute, seed)
		w.link(idle, seed)
		mute.say(seed, pexpb.EncodeRequest())
		time.Sleep(seedWait - time.Second)
		if !seed.isLinked(mute) {
			t.Error("a visitor that owes an answer was not waited for")
		}
		time.Sleep(2 * time.Second)
		if seed.isLinked(mute) || !seed.isLinked(idle) {
			t.Errorf("linked: mute %v, idle %v", seed.isLinked(mute), seed.isLinked(idle))
		}
		time.Sleep(visitTime)
		if seed.isLinked(idle) {
			t.Error("a visitor that never asks stays")
		}
	})
}

// A seed answers and hangs up at once. The answer is not lost if the end of the link overtakes it, and does not count
// as the answer to a later request.
func TestAnswerOfOneThatHungUp(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, seed := w.node(0, Config{}), w.bare(1)
		a.needs = true
		for round := range 2 {
			w.link(a, seed)
			time.Sleep(2 * w.delay)
			w.cut(a, seed)
			synctest.Wait() // a knows that it is gone
			if round == 1 {
				w.link(a, seed) // and is back
				synctest.Wait()
			}
			w.mu.Lock()
			a.inbox = append(a.inbox, host.Envelope{From: seed.id, Message: pexpb.EncodeResponse(wire(10*round, 10))})
			a.inboxWake <- struct{}{}
			w.mu.Unlock()
			if got := len(a.knows()); got != 10*(round+1) {
				t.Errorf("round %d: a knows %d", round, got)
			}
		}
		time.Sleep(w.delay)
		seed.say(a, pexpb.EncodeResponse(wire(20, 10))) // to the request of the new link
		time.Sleep(2 * w.delay)
		if a.worst() != host.Log || len(a.knows()) != 30 {
			t.Errorf("worst report %v, knows %d", a.worst(), len(a.knows()))
		}
		w.cut(a, seed)
		time.Sleep(2 * lateTime)
		w.mu.Lock()
		a.inbox = append(a.inbox, host.Envelope{From: seed.id, Message: pexpb.EncodeResponse(wire(30, 10))})
		a.inboxWake <- struct{}{}
		w.mu.Unlock()
		if got := len(a.knows()); got != 30 {
			t.Errorf("a stranger's addresses were taken: %d known", got)
		}
	})
}

// Updates and messages of a peer arrive in either order: a message that is first waits, but not forever.
func TestMessageBeforeTheNews(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b, stranger := w.node(0, Config{}), w.bare(1), w.bare(2)
		deliver := func(from *fakeNode) {
			w.mu.Lock()
			a.inbox = append(a.inbox, host.Envelope{From: from.id, Message: pexpb.EncodeRequest()})
			a.inboxWake <- struct{}{}
			w.mu.Unlock()
			synctest.Wait()
		}
		for range 2 * maxEarly {
			deliver(stranger)
		}
		time.Sleep(earlyTime + needCheck)
		deliver(b)
		w.link(b, a)
		time.Sleep(2 * w.delay)
		if _, responses := b.heard(); len(responses) != 1 {
			t.Errorf("%d answers", len(responses))
		}
		w.link(stranger, a)
		time.Sleep(2 * w.delay)
		if _, responses := stranger.heard(); len(responses) != 0 || a.worst() != host.Log {
			t.Errorf("%d answers to old requests, worst report %v", len(responses), a.worst())
		}
	})
}

// A seed asks a peer that it has dialed and hangs up, but not while it has no other peer, and never on a trusted one.
func TestSeedCrawls(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		seed := w.node(0, Config{Seed: true})
		a, trusted := w.bare(1), w.bare(2)
		seed.needs = true
		w.link(seed, a)
		w.link(seed, trusted)
		w.mu.Lock()
		seed.peers[trusted.id].info.Trusted = true
		w.mu.Unlock()
		for _, b := range []*fakeNode{a, trusted} {
			time.Sleep(w.delay)
			if requests, _ := b.heard(); len(requests) != 1 {
				t.Fatalf("asked %d times", len(requests))
			}
			b.say(seed, pexpb.EncodeResponse(wire(0, 5)))
		}
		time.Sleep(seedVisit + time.Second)
		if !seed.isLinked(a) {
			t.Error("left its only peer")
		}
		w.mu.Lock()
		seed.needs = false
		w.mu.Unlock()
		time.Sleep(needCheck + time.Second)
		if seed.isLinked(a) || !seed.isLinked(trusted) {
			t.Errorf("linked: the crawled one %v, the trusted one %v", seed.isLinked(a), seed.isLinked(trusted))
		}
	})
}
