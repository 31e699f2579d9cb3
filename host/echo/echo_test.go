package echo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hub carries messages between lanes, in order, with a delay and a bounded queue for each pair of them.
type hub struct {
	mu    sync.Mutex
	lanes map[transport.NodeID]*fakeLane
	delay time.Duration
	queue int // messages
}

func newHub() *hub {
	return &hub{lanes: map[transport.NodeID]*fakeLane{}, delay: time.Millisecond, queue: 64}
}

// fakeLane is a channel of one node on a hub.
type fakeLane struct {
	hub    *hub
	id     transport.NodeID
	inbox  chan host.Envelope
	queues map[transport.NodeID]chan []byte // to others
	wg     sync.WaitGroup
	ctx    context.Context
}

// lane adds a node; its goroutines end with ctx.
func (h *hub) lane(ctx context.Context, id transport.NodeID) *fakeLane {
	l := &fakeLane{ctx: ctx, hub: h, id: id,
		inbox: make(chan host.Envelope), queues: map[transport.NodeID]chan []byte{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lanes[id] = l
	return l
}

func (l *fakeLane) queueTo(to transport.NodeID) (chan []byte, error) {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	other := l.hub.lanes[to]
	if other == nil {
		return nil, host.ErrNotConnected
	}
	q := l.queues[to]
	if q == nil {
		q = make(chan []byte, l.hub.queue)
		l.queues[to] = q
		l.wg.Go(func() {
			for {
				select {
				case msg := <-q:
					time.Sleep(l.hub.delay)
					select {
					case other.inbox <- host.Envelope{From: l.id, Message: bytes.Clone(msg)}:
					case <-l.ctx.Done():
						return
					}
				case <-l.ctx.Done():
					return
				}
			}
		})
	}
	return q, nil
}

func (l *fakeLane) Send(ctx context.Context, to transport.NodeID, msg []byte) error {
	q, err := l.queueTo(to)
	if err != nil {
		return err
	}
	select {
	case q <- msg:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *fakeLane) TrySend(to transport.NodeID, msg []byte) bool {
	q, err := l.queueTo(to)
	if err != nil {
		return false
	}
	select {
	case q <- msg:
		return true
	default:
		return false
	}
}

func (l *fakeLane) Receive(ctx context.Context) (host.Envelope, error) {
	select {
	case e := <-l.inbox:
		return e, nil
	case <-ctx.Done():
		return host.Envelope{}, ctx.Err()
	}
}

// count returns how many calls wait.
func (cs *calls) count() (n int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, queue := range cs.waiting {
		n += len(queue)
	}
	return n
}

// bubble runs fn with a context that ends, and waits for what it started.
func bubble(t *testing.T, fn func(t *testing.T, ctx context.Context, h *hub,
	start func(id transport.NodeID, cfg Config) *Service)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := newHub()
		var wg sync.WaitGroup
		fn(t, ctx, h, func(id transport.NodeID, cfg Config) *Service {
			s := newService(cfg, h.lane(ctx, id), nil)
			wg.Go(func() {
				if err := s.Run(ctx); err != nil {
					t.Errorf("Run of %s: %v", id, err)
				}
			})
			return s
		})
		cancel()
		wg.Wait()
		for _, l := range h.lanes {
			l.wg.Wait()
		}
	})
}

func TestEchoIsByteEqualAndMeasured(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context, h *hub, start func(transport.NodeID, Config) *Service) {
		a := start("a", Config{})
		b := start("b", Config{})
		for _, size := range []int{1, 100, 1024, 64 << 10, 4 << 20} {
			payload := make([]byte, size)
			for i := range payload {
				payload[i] = byte(rand.Uint32())
			}
			rtt, err := a.Echo(ctx, "b", payload)
			if err != nil {
				t.Fatal(err)
			}
			if rtt != 2*h.delay {
				t.Errorf("%d bytes: round trip %v, want %v", size, rtt, 2*h.delay)
			}
		}
		if got := b.Stats(); got != (Stats{Answered: 5}) {
			t.Errorf("b did %+v", got)
		}
		if got := a.Stats(); got != (Stats{}) {
			t.Errorf("a did %+v without a call", got)
		}
	})
}

// Two nodes that call each other at once never take a reply for a request, whatever the payloads, and fall silent
// afterwards.
func TestNoPingPong(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context, h *hub, start func(transport.NodeID, Config) *Service) {
		a, b := start("a", Config{}), start("b", Config{})
		var wg sync.WaitGroup
		for i := range 20 {
			for name, call := range map[string]func() (time.Duration, error){
				"a": func() (time.Duration, error) { return a.Echo(ctx, "b", fmt.Appendf(nil, "payload %d", i%7)) },
				"b": func() (time.Duration, error) { return b.Echo(ctx, "a", fmt.Appendf(nil, "payload %d", i%5)) },
			} {
				wg.Go(func() {
					if _, err := call(); err != nil {
						t.Errorf("%s's call %d: %v", name, i, err)
					}
				})
			}
		}
		wg.Wait()
		synctest.Wait()
		before := [2]Stats{a.Stats(), b.Stats()}
		time.Sleep(time.Minute)
		if after := [2]Stats{a.Stats(), b.Stats()}; after != before {
			t.Errorf("still talking: %+v, then %+v", before, after)
		}
		if a.calls.count()+b.calls.count() != 0 {
			t.Error("calls are left over")
		}
	})
}

// A reply that comes after its call was given up is not taken for a request.
func TestLateReply(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context, h *hub, start func(transport.NodeID, Config) *Service) {
		a, b := start("a", Config{}), start("b", Config{})
		h.delay = time.Second
		short, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
		defer cancel()
		if _, err := a.Echo(short, "b", []byte("late")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Echo returned %v", err)
		}
		time.Sleep(time.Minute)
		if a.Stats().Answered != 0 || b.Stats().Answered != 1 {
			t.Errorf("a answered %d, b %d", a.Stats().Answered, b.Stats().Answered)
		}
		if a.calls.count() != 0 {
			t.Error("the call is still remembered")
		}
	})
}

// A peer that reads nothing costs a bounded backlog and delays no other peer.
func TestSlowPeerDelaysNobody(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context, h *hub, start func(transport.NodeID, Config) *Service) {
		start("a", Config{})
		s := start("b", Config{Backlog: 10_000})
		h.queue = 2
		slow := h.lane(ctx, "slow") // sends, and never reads
		for range 100 {
			if err := slow.Send(ctx, "b", make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		a := s // b calls a, and a third calls b
		if rtt, err := a.Echo(ctx, "a", []byte("x")); err != nil || rtt != 2*h.delay {
			t.Errorf("b's call took %v, %v", rtt, err)
		}
		c := start("c", Config{})
		if rtt, err := c.Echo(ctx, "b", []byte("y")); err != nil || rtt != 2*h.delay {
			t.Errorf("a call to b took %v, %v", rtt, err)
		}
		time.Sleep(time.Second)
		s.mu.Lock()
		held := s.slow["slow"].bytes
		s.mu.Unlock()
		if held > 10_000 || s.Stats().Dropped < 80 {
			t.Errorf("holds %d bytes for the slow peer, dropped %d", held, s.Stats().Dropped)
		}
		time.Sleep(2 * sendTimeout)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.slow) != 0 {
			t.Error("still waits for a peer that takes nothing")
		}
	})
}

// A burst that is larger than the send queue comes back whole and in order from a peer that reads.
func TestBurstComesBackInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context, h *hub, start func(transport.NodeID, Config) *Service) {
		s := start("b", Config{})
		h.queue = 2
		client := h.lane(ctx, "client")
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range 500 {
				e, err := client.Receive(ctx)
				if err != nil || string(e.Message) != fmt.Sprint(i) {
					t.Errorf("message %d came back as %q, %v", i, e.Message, err)
					return
				}
				time.Sleep(2 * h.delay)
			}
		})
		for i := range 500 {
			if err := client.Send(ctx, "b", []byte(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		wg.Wait()
		if got := s.Stats(); got.Dropped != 0 || got.Answered != 500 {
			t.Errorf("%+v", got)
		}
	})
}

func TestCallErrors(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context, h *hub, start func(transport.NodeID, Config) *Service) {
		a := start("a", Config{Outstanding: 2})
		mute := h.lane(ctx, "mute")
		_ = mute
		if _, err := a.Echo(ctx, "mute", nil); !errors.Is(err, ErrEmpty) {
			t.Errorf("empty payload: %v", err)
		}
		if _, err := a.Echo(ctx, "nobody", []byte("x")); !errors.Is(err, host.ErrNotConnected) {
			t.Errorf("unknown peer: %v", err)
		}
		for i := range 3 {
			short, cancel := context.WithTimeout(ctx, time.Second)
			_, err := a.Echo(short, "mute", []byte{byte(i)})
			cancel()
			want := [...]error{context.DeadlineExceeded, context.DeadlineExceeded, ErrBusy}[i]
			if !errors.Is(err, want) {
				t.Errorf("call %d: %v, want %v", i, err, want)
			}
		}
		time.Sleep(remember + time.Second)
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := a.Echo(short, "mute", []byte("z")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the memory of old calls is over: %v", err)
		}
	})
}

func TestConfig(t *testing.T) {
	if _, err := New(Config{Backlog: -1}, nil, nil); err == nil {
		t.Error("a negative backlog is accepted")
	}
}

func TestRunSaysWhyItEnded(t *testing.T) {
	s := newService(Config{}, stoppedLane{}, nil)
	if err := s.Run(t.Context()); !errors.Is(err, host.ErrStopped) {
		t.Errorf("Run returned %v", err)
	}
}

type stoppedLane struct{ *fakeLane }

func (stoppedLane) Receive(context.Context) (host.Envelope, error) {
	return host.Envelope{}, host.ErrStopped
}
