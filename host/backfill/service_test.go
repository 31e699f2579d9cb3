package backfill_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/backfill"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// network is nodes that each have a service and a store.
type network struct {
	*hosttest.Network
	services []*backfill.Service
	stores   []backfill.Store
}

// newNetwork makes nodes, of which store makes the stores; nil: empty ones. All are linked to the first.
func newNetwork(t *testing.T, nodes int, cfg backfill.Config, wire string, store func(i int) backfill.Store) *network {
	net := &network{services: make([]*backfill.Service, nodes), stores: make([]backfill.Store, nodes)}
	net.Network = hosttest.New(t, hosttest.Options{Nodes: nodes, Stopped: true, Plain: true,
		Speaks: func(*hosttest.Node) []string { return []string{wire} },
		Services: func(n *hosttest.Node) ([]hosttest.Service, error) {
			if net.stores[n.Index] == nil {
				if store != nil {
					net.stores[n.Index] = store(n.Index)
				}
				if net.stores[n.Index] == nil {
					net.stores[n.Index] = backfill.NewMemory()
				}
			}
			s, err := backfill.New(cfg, n.Host, net.stores[n.Index], nil)
			if err != nil {
				return nil, err
			}
			net.services[n.Index] = s
			return []hosttest.Service{s.Run}, nil
		}})
	net.Start()
	for _, n := range net.Nodes[1:] {
		n.Dial(net.Nodes[0])
	}
	return net
}

func itemOf(height uint64) []byte {
	return binary.BigEndian.AppendUint64(fmt.Appendf(nil, "item %d ", height), height)
}

func verify(_ context.Context, height uint64, item []byte) error {
	if string(item) != string(itemOf(height)) {
		return backfill.Bad(host.Disconnect, errors.New("it is not the item of that height"))
	}
	return nil
}

// filled is a store with the heights from one to another.
func filled(from, to uint64) *backfill.Memory {
	m := backfill.NewMemory()
	for h := from; h <= to; h++ {
		_ = m.Put(context.Background(), h, itemOf(h))
	}
	return m
}

// wantStored checks that a store has exactly the heights from one to another.
func wantStored(t *testing.T, s backfill.Store, from, to uint64) {
	t.Helper()
	spans, err := s.Range(t.Context(), 0, ^uint64(0))
	if err != nil || len(spans) != 1 || spans[0] != (backfill.Span{From: from, To: to}) {
		t.Fatalf("stored is %v (%v), want %d-%d", spans, err, from, to)
	}
	for h := from; h <= to; h++ {
		if item, err := s.Get(t.Context(), h); err != nil || string(item) != string(itemOf(h)) {
			t.Fatalf("height %d is %q (%v)", h, item, err)
		}
	}
}

// Sync and Backfill fill an empty store from several peers, over both wires, and report how far they are.
func TestSyncAndBackfill(t *testing.T) {
	for _, wire := range []string{transport.WireComet, transport.WireLibp2p} {
		t.Run(wire, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 5000
				net := newNetwork(t, 4, backfill.Config{}, wire, func(i int) backfill.Store {
					if i > 0 {
						return filled(1, n)
					}
					return nil
				})
				var told []backfill.Progress
				s := net.services[0]
				err := s.Sync(t.Context(), backfill.Task{From: n/2 + 1, To: n, Verify: verify,
					Progress: func(p backfill.Progress) { told = append(told, p) }})
				if err != nil {
					t.Fatal(err)
				}
				wantStored(t, net.stores[0], n/2+1, n)
				last := told[len(told)-1]
				if last.Done != n/2 || last.Total != n/2 || last.Run != "sync" || last.Height != n ||
					told[0].Done != 0 {
					t.Errorf("progress from %+v to %+v", told[0], last)
				}
				if err := s.Backfill(t.Context(), backfill.Task{From: n, To: 1, Verify: verify}); err != nil {
					t.Fatal(err)
				}
				wantStored(t, net.stores[0], 1, n)
				if c := s.Counts(); c.Committed != n || c.Bad+c.Failed+c.Lacking > 0 || len(s.Runs()) > 0 {
					t.Errorf("counts %+v", c)
				}
				if err := s.Sync(t.Context(), backfill.Task{From: 1, To: n}); err != nil {
					t.Errorf("with all that is wanted: %v", err)
				}
			})
		})
	}
}

// A run that is stopped at any point returns why, never nil, and another one goes on there; it meets what was stored
// before.
func TestStopAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3000
		net := newNetwork(t, 3, backfill.Config{}, transport.WireComet, func(i int) backfill.Store {
			if i > 0 {
				return filled(1, n)
			}
			return filled(1000, 1100) // of an earlier run
		})
		s := net.services[0]
		why := errors.New("enough")
		for stop := uint64(1); ; stop += 400 {
			ctx, cancel := context.WithCancelCause(t.Context())
			task := backfill.Task{From: 1, To: n, Verify: func(ctx context.Context, h uint64, item []byte) error {
				if h == stop {
					cancel(why)
				}
				return verify(ctx, h, item)
			}}
			run := s.Sync
			if stop%800 == 1 {
				task.From, task.To, run = n, 1, s.Backfill
			}
			err := run(ctx, task)
			if err == nil {
				break
			}
			if !errors.Is(err, why) {
				t.Fatalf("stopped at %d: %v", stop, err)
			}
		}
		wantStored(t, net.stores[0], 1, n)
		if c := s.Counts(); c.Committed != n-101 {
			t.Errorf("%d heights were committed, want each once", c.Committed)
		}
	})
}

// stuckStore is a store whose calls wait for the end of their context from a height on.
type stuckStore struct {
	*backfill.Memory
	from uint64
}

func (s stuckStore) Put(ctx context.Context, height uint64, item []byte) error {
	if height >= s.from {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Memory.Put(ctx, height, item)
}

func (s stuckStore) Get(ctx context.Context, height uint64) ([]byte, error) {
	if height >= s.from {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Memory.Get(ctx, height)
}

// Every goroutine ends with the context, while the store hangs and a peer does, too.
func TestEndsWhileAllHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t, 3, backfill.Config{}, transport.WireComet, func(i int) backfill.Store {
			if i > 0 {
				return stuckStore{filled(1, 100), uint64(20 * i)}
			}
			return stuckStore{backfill.NewMemory(), 10}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := net.services[0].Sync(ctx, backfill.Task{From: 1, To: 100, Verify: verify})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		wantStored(t, net.stores[0].(stuckStore).Memory, 1, 9)
	})
}

// What fails in the store or the verifier ends the run with its height, and blames nobody.
func TestOwnFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t, 2, backfill.Config{}, transport.WireComet, func(i int) backfill.Store {
			if i > 0 {
				return filled(1, 100)
			}
			return nil
		})
		s := net.services[0]
		full := errors.New("disk full")
		err := s.Sync(t.Context(), backfill.Task{From: 1, To: 100,
			Verify: func(_ context.Context, h uint64, _ []byte) error {
				if h == 50 {
					return full
				}
				return nil
			}})
		if he, ok := errors.AsType[*backfill.HeightError](err); !ok || he.Height != 50 || he.Tries != 0 ||
			!errors.Is(err, full) {
			t.Errorf("the error is %v", err)
		}
		err = s.Sync(t.Context(), backfill.Task{From: 1, To: 100,
			Verify: func(context.Context, uint64, []byte) error { panic("oops") }})
		if he, ok := errors.AsType[*backfill.HeightError](err); !ok || he.Height != 50 {
			t.Errorf("the error is %v", err)
		}
		if !net.Nodes[0].Has(net.Nodes[1]) {
			t.Error("the peer is gone")
		}
		if err := s.Sync(t.Context(), backfill.Task{From: 2, To: 1}); err == nil {
			t.Error("a sync downwards")
		}
		if err := s.Backfill(t.Context(), backfill.Task{From: 1, To: 2}); err == nil {
			t.Error("a backfill upwards")
		}
	})
}

// A run ends when the service or the host does.
func TestEndsWithItsNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t, 2, backfill.Config{}, transport.WireComet, func(i int) backfill.Store {
			if i > 0 {
				return filled(1, 10)
			}
			return nil
		})
		done := make(chan error, 1)
		go func() { done <- net.services[0].Sync(t.Context(), backfill.Task{From: 1, To: 11, Verify: verify}) }()
		time.Sleep(time.Minute)
		net.Nodes[0].Stop()
		if err := <-done; !errors.Is(err, host.ErrStopped) {
			t.Errorf("the host has stopped: %v", err)
		}
	})
}

// lyingStore is a store with some bad items.
type lyingStore struct {
	*backfill.Memory
	lie func(height uint64) bool
}

func (s lyingStore) Get(ctx context.Context, height uint64) ([]byte, error) {
	item, err := s.Memory.Get(ctx, height)
	if err == nil && s.lie(height) {
		item = append(slices.Clone(item), '!')
	}
	return item, err
}

// A peer with bad items is reported with the verifier's severity, and another one asked.
func TestLyingPeerIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 2000
		var lies atomic.Int64
		net := newNetwork(t, 3, backfill.Config{}, transport.WireComet, func(i int) backfill.Store {
			switch i {
			case 1:
				return lyingStore{filled(1, n), func(h uint64) bool {
					lies.Add(1)
					return true
				}}
			case 2:
				return filled(1, n)
			}
			return nil
		})
		if err := net.services[0].Sync(t.Context(), backfill.Task{From: 1, To: n, Verify: verify}); err != nil {
			t.Fatal(err)
		}
		wantStored(t, net.stores[0], 1, n)
		synctest.Wait() // the end of a link is told beside the run
		down := slices.ContainsFunc(net.Nodes[0].Updates(net.Nodes[1]), func(u hosttest.Update) bool {
			return u.Status == host.PeerDown && u.Reason.Code == muxer.CodeMisbehaved
		})
		if lies.Load() > 0 && !down {
			t.Error("the liar is not disconnected")
		}
		if !net.Nodes[0].Has(net.Nodes[2]) {
			t.Error("the honest peer is gone")
		}
	})
}

// The network is cut, peers restart, and the run goes on when they are back.
func TestCutsAndRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20_000
		net := newNetwork(t, 3, backfill.Config{Batch: 16}, transport.WireComet, func(i int) backfill.Store {
			if i > 0 {
				return filled(1, n)
			}
			return nil
		})
		net.Delay(10*time.Millisecond, 0)
		done := make(chan error, 1)
		go func() { done <- net.services[0].Sync(t.Context(), backfill.Task{From: 1, To: n, Verify: verify}) }()
		dial := func(n *hosttest.Node) { // one that another dial has come before is as good
			_, _ = n.Host.Dial(t.Context(), net.Nodes[0].Address())
		}
		for range 5 {
			time.Sleep(200 * time.Millisecond)
			net.Nodes[1].Restart()
			dial(net.Nodes[1])
			time.Sleep(200 * time.Millisecond)
			net.Break(net.Nodes[0], net.Nodes[2])
			time.Sleep(200 * time.Millisecond)
			if !net.Nodes[0].Has(net.Nodes[2]) {
				dial(net.Nodes[2])
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		wantStored(t, net.stores[0], 1, n)
	})
}
