package relay

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/internal/relaypb"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// attacked is a victim (node 0) with an honest peer (node 1) and a rogue (node 2), which the victim has dialed.
type attacked struct {
	*world
	victim, honest *hosttest.Node
	rogue          *host.Channel
	ctx            context.Context
	rng            *rand.Rand
}

// underAttack runs a test over each wire. answer, if not nil, is what the rogue makes of each message that it gets.
func underAttack(t *testing.T, answer func(a *attacked, msg *relaypb.Message), test func(a *attacked)) {
	for _, wire := range []string{transport.WireComet, transport.WireLibp2p} {
		t.Run(wire, func(t *testing.T) {
			t.Helper()
			a := &attacked{rng: rand.New(rand.NewPCG(1, 1))}
			o := hosttest.Options{Nodes: 3, Speaks: func(*hosttest.Node) []string { return []string{wire} },
				Conditions: memory.Conditions{Latency: 10 * time.Millisecond}}
			// The rogue has the channel, and no relay.
			inWorld(t, o, nil, func(w *world) {
				a.world, a.victim, a.honest = w, w.Nodes[0], w.Nodes[1]
				var cancel context.CancelFunc
				a.ctx, cancel = context.WithCancel(context.Background())
				defer cancel()
				rogue := w.Nodes[2]
				rogue.Stop()
				w.playRogue = func(c *host.Channel) hosttest.Service {
					a.rogue = c
					return func(ctx context.Context) error {
						var msg relaypb.Message
						for {
							e, err := c.Receive(ctx)
							if err != nil {
								return nil
							}
							if answer != nil && msg.Decode(e.Message) == nil {
								answer(a, &msg)
							}
						}
					}
				}
				rogue.Start()
				a.victim.Dial(rogue)
				a.honest.Dial(a.victim)
				w.AwaitLink(a.victim, rogue)
				w.AwaitLink(a.victim, a.honest)
				test(a)
				rogue.Stop()
			})
		})
	}
}

// say sends the victim a message.
func (a *attacked) say(msg []byte) bool { return a.rogue.Send(a.ctx, a.victim.ID, msg) == nil }

// announce announces items in the rogue's name.
func (a *attacked) announce(size int, ids ...ID) {
	var all []byte
	sizes := make([]uint32, len(ids))
	for i, id := range ids {
		all = append(all, id[:]...)
		sizes[i] = uint32(size)
	}
	a.say(relaypb.EncodeAnnounce(all, sizes, false))
}

// honestItems publishes items at the honest node, and returns how long they took to the victim.
func (a *attacked) honestItems(items ...[]byte) time.Duration {
	a.t.Helper()
	var ids []ID
	for _, item := range items {
		ids = append(ids, a.publish(a.honest, item).ID)
	}
	return a.Await("the victim has the items", func() string {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, id := range ids {
			if a.got[a.victim][id] != 1 {
				return "It lacks some."
			}
		}
		return ""
	})
}

func (a *attacked) items(n, size int) (items [][]byte, ids []ID) {
	for range n {
		item := random(a.rng, size)
		items, ids = append(items, item), append(ids, IDOf(item))
	}
	return items, ids
}

// within fails the test if what honest items took is more than they take without an attack.
func (a *attacked) within(took, most time.Duration) {
	a.t.Helper()
	if took > most {
		a.t.Errorf("honest items took %v, want %v at most", took, most)
	}
}

// A peer announces ten million ids that do not exist.
func TestManyIDs(t *testing.T) {
	batches := 50
	if longtest.Long() {
		batches = 10_000_000/relaypb.MaxAnnounced + 1
	}
	underAttack(t, nil, func(a *attacked) {
		ids := make([]ID, relaypb.MaxAnnounced)
		for n := range batches {
			for i := range ids {
				binary.BigEndian.PutUint64(ids[i][:], uint64(n*len(ids)+i))
			}
			a.announce(100, ids...)
		}
		time.Sleep(time.Second)
		s := a.relays[a.victim].Stats()
		total := uint64(batches * len(ids))
		if s.Announced != total || s.Wanted > maxWaiting+maxInFlight || s.Cut != total-maxWaiting-maxInFlight {
			a.t.Errorf("of %d announcements: %+v", total, s)
		}
		r := a.relays[a.victim]
		r.mu.Lock()
		for _, p := range r.m.order {
			if p.inventory.len() > maxInventory || p.busy > maxInFlight || p.waiting > maxWaiting {
				a.t.Errorf("%d ids, %d busy, %d waiting", p.inventory.len(), p.busy, p.waiting)
			}
		}
		r.mu.Unlock()
		items, _ := a.items(100, 6000)
		a.within(a.honestItems(items...), 200*time.Millisecond)
	})
}

// A peer announces first, and stays silent. That costs its own 64 places, and the items that are in them 2 s.
func TestSilentAnnouncer(t *testing.T) {
	underAttack(t, nil, func(a *attacked) {
		items, ids := a.items(500, 6000)
		a.announce(6000, ids...)
		time.Sleep(time.Second)
		a.within(a.honestItems(items...), 2500*time.Millisecond)
		s := a.relays[a.victim].Stats()
		if s.Timeouts != maxInFlight || s.Bodies != uint64(len(items)) {
			a.t.Errorf("%+v", s)
		}
		items, ids = a.items(500, 6000) // it has no more places to waste
		a.announce(6000, ids...)
		a.within(a.honestItems(items...), 200*time.Millisecond)
		if s := a.relays[a.victim].Stats(); s.Misdeeds != 0 {
			a.t.Errorf("silence is a misdeed: %+v", s)
		}
	})
}

// respond lets the rogue answer each request with what body makes of the id.
func respond(body func(id ID) []byte) func(a *attacked, msg *relaypb.Message) {
	return func(a *attacked, msg *relaypb.Message) {
		if msg.Kind != relaypb.KindRequest {
			return
		}
		for ids := msg.IDs; len(ids) > 0; ids = ids[32:] {
			if b := body(ID(ids[:32])); b == nil {
				a.say(relaypb.EncodeMissing(1))
			} else {
				a.say(relaypb.EncodeItems(relaypb.KindItems, b))
			}
		}
	}
}

// A peer announces items with other sizes than they have.
func TestLiar(t *testing.T) {
	var all sync.Map
	real := func(id ID) []byte {
		item, _ := all.Load(id)
		return item.([]byte)
	}
	underAttack(t, respond(real), func(a *attacked) {
		items, ids := a.items(40, 6000)
		for i, id := range ids {
			all.Store(id, items[i])
		}
		a.announce(100, ids...)
		time.Sleep(15 * time.Millisecond) // so that it is asked
		a.within(a.honestItems(items...), 200*time.Millisecond)
		a.AwaitNoLink(a.victim, a.Nodes[2])
		if s := a.relays[a.victim].Stats(); s.Lies < 5 || s.Garbage != 0 {
			a.t.Errorf("%+v", s)
		}
	})
}

// A peer serves garbage of the right size.
func TestGarbage(t *testing.T) {
	underAttack(t, respond(func(ID) []byte { return make([]byte, 6000) }), func(a *attacked) {
		items, ids := a.items(40, 6000)
		a.announce(6000, ids...)
		time.Sleep(15 * time.Millisecond) // so that it is asked
		a.within(a.honestItems(items...), 200*time.Millisecond)
		a.AwaitNoLink(a.victim, a.Nodes[2])
		if s := a.relays[a.victim].Stats(); s.Garbage == 0 {
			a.t.Errorf("%+v", s)
		}
	})
}

// A peer announces again and again what it does not have. It is asked last.
func TestNeverHas(t *testing.T) {
	again := func(a *attacked, msg *relaypb.Message) {
		respond(func(ID) []byte { return nil })(a, msg)
		if msg.Kind == relaypb.KindRequest {
			for ids := msg.IDs; len(ids) > 0; ids = ids[32:] {
				a.announce(6000, ID(ids[:32]))
			}
		}
	}
	underAttack(t, again, func(a *attacked) {
		items, ids := a.items(40, 6000)
		a.announce(6000, ids...)
		time.Sleep(time.Second)
		a.within(a.honestItems(items...), 200*time.Millisecond)
	})
}

// Bodies that nobody has requested are dropped, and so is their sender, sooner or later; wrong messages end the link.
func TestWrongMessages(t *testing.T) {
	long := make([]byte, maxPush+1)
	for name, send := range map[string]func(a *attacked){
		"unrequested": func(a *attacked) {
			for range 5 {
				a.say(relaypb.EncodeItems(relaypb.KindItems, []byte("unasked")))
			}
		},
		"answers to no request": func(a *attacked) {
			for range 5 {
				a.say(relaypb.EncodeMissing(1))
			}
		},
		"an empty item":          func(a *attacked) { a.say(relaypb.EncodeItems(relaypb.KindPush, nil)) },
		"a long push":            func(a *attacked) { a.say(relaypb.EncodeItems(relaypb.KindPush, long)) },
		"no protobuf":            func(a *attacked) { a.say([]byte{0xff}) },
		"an item above max_item": func(a *attacked) { a.announce(2<<20, ID{}) },
		"too many requests": func(a *attacked) {
			for range 2 {
				a.say(relaypb.EncodeRequest(make([]byte, 33*32)))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			underAttack(t, nil, func(a *attacked) {
				a.Between(a.victim, a.Nodes[2], memory.Conditions{}) // so that two messages come at once
				send(a)
				a.AwaitNoLink(a.victim, a.Nodes[2])
				items, _ := a.items(3, 100)
				a.within(a.honestItems(items...), 100*time.Millisecond)
			})
		})
	}
}

// Only what a peer was told of is served to it.
func TestServedIsTold(t *testing.T) {
	var missing atomic.Int64
	count := func(_ *attacked, msg *relaypb.Message) { missing.Add(int64(msg.Count)) }
	underAttack(t, count, func(a *attacked) {
		missing.Store(0)
		item := []byte("the rogue has announced it, so it is not told")
		id := IDOf(item)
		a.announce(len(item), id)
		time.Sleep(time.Second)
		a.honestItems(item)
		a.say(relaypb.EncodeRequest(id[:]))
		time.Sleep(time.Second)
		if s := a.relays[a.victim].Stats(); missing.Load() != 1 || s.NotFound != 1 {
			a.t.Errorf("%d answers say that it is missing: %+v", missing.Load(), s)
		}
	})
}

// What Validate refuses is refused once, and its sender reported; what it cannot judge may come again.
func TestValidate(t *testing.T) {
	calls := map[string]int{}
	o := hosttest.Options{Nodes: 3, KnowFirst: true, Conditions: memory.Conditions{Latency: time.Millisecond}}
	config := func(n *hosttest.Node) Config {
		if n.Index != 0 {
			return Config{}
		}
		return Config{Validators: 1, Validate: func(ctx context.Context, from transport.NodeID, item []byte) error {
			if from == n.ID {
				return nil
			}
			time.Sleep(100 * time.Millisecond) // a slow one delays what is to be judged, not what is read
			kind := string(item[:3])
			switch calls[kind]++; {
			case kind == "bad":
				return fmt.Errorf("it is bad")
			case kind == "bit" && calls[kind] == 1:
				return fmt.Errorf("not now: %w", ErrPassing)
			case kind == "pan" && calls[kind] == 1:
				panic("a test")
			}
			return nil
		}}
	}
	inWorld(t, o, config, func(w *world) {
		w.AwaitLink(w.Nodes[0], w.Nodes[1])
		w.AwaitLink(w.Nodes[0], w.Nodes[2])
		for _, kind := range []string{"bad", "bit", "pan", "ok."} {
			for i := 1; i <= 2; i++ { // both announce the same
				w.publish(w.Nodes[i], append([]byte(kind), make([]byte, 5000)...))
				time.Sleep(time.Second)
			}
		}
		if want := "map[bad:1 bit:2 ok.:1 pan:2]"; fmt.Sprint(calls) != want {
			t.Errorf("calls %v, want %v", calls, want)
		}
		s := w.relays[w.Nodes[0]].Stats()
		if s.Rejected != 1 || s.Postponed != 2 || s.Delivered != 3 || s.Misdeeds != 1 || s.Wanted != 0 {
			t.Errorf("%+v", s)
		}
	})
}
