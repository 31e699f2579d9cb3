package pex

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/pexpb"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// judge is CometBFT's rule for requests (p2p/pex/pex_reactor.go, receiveRequest and RemovePeer): the first two of a
// peer are free, later ones come requestInterval after the last; else the peer is banned for a day.
type judge struct {
	seen   int
	last   time.Time
	banned bool
}

func (j *judge) read(now time.Time) {
	if j.seen++; j.seen > 2 && now.Sub(j.last) < requestInterval {
		j.banned = true
	}
	if j.seen > 1 {
		j.last = now
	}
}

// A CometBFT node that stalls for any time reads all that waited together; links break and come back, with or without
// its forgetting what it was asked on the last one. It never sees us too early, and we still use what it allows.
func TestAStalledCometBFTNodeIsNotAskedTooOften(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		inWorld(t, func(t *testing.T, w *world) {
			a, b := w.node(0, Config{}), w.bare(1)
			a.needs = true
			w.link(a, b)
			var j judge
			total := 0
			read := func() {
				requests, _ := b.heard()
				for range requests {
					total++
					j.read(time.Now())
					b.say(a, pexpb.EncodeResponse(wire(0, 1)))
				}
			}
			for begun := time.Now(); time.Since(begun) < time.Hour; {
				switch rng.IntN(20) {
				case 0: // it stalls
					time.Sleep(time.Duration(rng.Int64N(int64(2 * time.Minute))))
				case 1: // the link breaks, perhaps while it was stalled, and what waited there is read late
					code := []muxer.Code{muxer.CodeIdle, muxer.CodeTransport, muxer.CodeTimeout}[rng.IntN(3)]
					w.cutFor(a, b, code)
					time.Sleep(time.Duration(rng.Int64N(int64(20 * time.Second))))
					requests, _ := b.heard()
					for range requests {
						j.read(time.Now())
					}
					if rng.IntN(2) == 0 {
						j = judge{banned: j.banned}
					}
					w.link(a, b)
				default:
					time.Sleep(time.Duration(rng.Int64N(int64(2 * time.Second))))
					read()
				}
				if j.banned {
					t.Fatalf("seed %d: banned after %v", seed, time.Since(begun))
				}
			}
			if total < 40 {
				t.Errorf("seed %d: only %d requests in an hour", seed, total)
			}
		})
	}
}

// A peer whose link broke is asked when it is back, even if we need no peers and it dialed us: it may know the other
// part of a network that was cut. One that hung up is not.
func TestALostPeerIsAskedWhenItIsBack(t *testing.T) {
	for code, want := range map[muxer.Code]int{muxer.CodeIdle: 1, muxer.CodeTransport: 1, muxer.CodeRemoteClosed: 0} {
		inWorld(t, func(t *testing.T, w *world) {
			a, b := w.node(0, Config{}), w.bare(1)
			w.link(b, a)
			time.Sleep(time.Second)
			w.cutFor(a, b, code)
			time.Sleep(time.Hour)
			w.link(b, a)
			time.Sleep(requestInterval)
			if requests, _ := b.heard(); len(requests) != 0 {
				t.Errorf("%v: asked at once", code)
			}
			time.Sleep(requestInterval)
			if requests, _ := b.heard(); len(requests) != want {
				t.Errorf("%v: %d requests", code, len(requests))
			}
		})
	}
}

// Whatever holds us up, the requests of honest peers that wait meanwhile cost them nothing: not while the process is
// stopped, nor while their connections are not read.
func TestOurStallIsNobodysFault(t *testing.T) {
	for name, field := range map[string]func(*fakeNode) *chan struct{}{
		"stopped": func(f *fakeNode) *chan struct{} { return &f.stopped },
		"unread":  func(f *fakeNode) *chan struct{} { return &f.unread },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a := w.node(0, Config{})
				// One asks as often as it may, whatever comes back; one begins while we are held up; one asks again
				// after 15 s without an answer, as our first releases did.
				steady, late, eager := w.bare(1), w.bare(2), w.bare(3)
				w.link(steady, a)
				w.link(eager, a)
				ask := func(f *fakeNode, every time.Duration, first int) {
					w.wg.Go(func() {
						for i := 0; w.ctx.Err() == nil; i++ {
							f.TrySend(a.id, pexpb.EncodeRequest())
							if i >= first {
								select {
								case <-time.After(every):
								case <-w.ctx.Done():
								}
							}
						}
					})
				}
				ask(steady, requestInterval, 1)
				ask(eager, 15*time.Second, 1)
				for i := range 8 {
					if i == 4 {
						w.wg.Go(func() {
							time.Sleep(time.Second)
							w.link(late, a)
							ask(late, requestInterval, 1)
						})
					}
					a.holdUp(field(a), 32*time.Second)
					time.Sleep(10 * time.Second)
				}
				a.holdUp(field(a), time.Hour)
				time.Sleep(time.Minute)
				if a.worst() != host.Log {
					t.Errorf("honest peers were reported: %+v", a.reports)
				}
				for _, f := range []*fakeNode{steady, late, eager} {
					if _, responses := f.heard(); len(responses) < 20 {
						t.Errorf("%d answers", len(responses))
					}
				}
			})
		})
	}
}

// A flood is a flood beside stalls, too: its sender is cut off when it has sent more than a peer may have in its time.
func TestAStallExcusesNoFlood(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.node(0, Config{}), w.bare(1)
		w.link(b, a)
		w.wg.Go(func() { a.holdUp(&a.unread, time.Minute) })
		time.Sleep(time.Second)
		for range 30 {
			b.say(a, pexpb.EncodeRequest())
		}
		time.Sleep(2 * time.Minute)
		if a.isLinked(b) {
			t.Error("still linked")
		}
	})
}

// The wall clock counts while the machine sleeps, and the monotonic one when the wall clock is set back.
func TestElapsed(t *testing.T) {
	now := time.Now()
	if d := elapsed(now, now.Add(time.Minute)); d != time.Minute {
		t.Errorf("%v", d)
	}
	if d := elapsed(now, now.Round(0).Add(time.Minute)); d != time.Minute { // no monotonic reading
		t.Errorf("%v", d)
	}
}
