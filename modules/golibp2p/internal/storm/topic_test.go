package storm

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// member is a host's part in a topic.
type member struct {
	host   host.Host
	topic  *pubsub.Topic
	sub    *pubsub.Subscription
	events *pubsub.TopicEventHandler
	mesh   *mesh
}

// mesh knows whom gossipsub has in its mesh.
type mesh struct {
	mu      sync.Mutex
	peers   map[peer.ID]bool
	changed chan struct{} // holds a value after a change
}

// Trace is called by gossipsub, one event at a time.
func (m *mesh) Trace(e *pb.TraceEvent) {
	m.mu.Lock()
	switch e.GetType() {
	case pb.TraceEvent_GRAFT:
		m.peers[peer.ID(e.GetGraft().GetPeerID())] = true
	case pb.TraceEvent_PRUNE:
		delete(m.peers, peer.ID(e.GetPrune().GetPeerID()))
	}
	m.mu.Unlock()
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// await waits until the mesh has n peers.
func (m *mesh) await(ctx context.Context, n int) error {
	for {
		m.mu.Lock()
		have := len(m.peers)
		m.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-m.changed:
		case <-ctx.Done():
			return fmt.Errorf("%d peers in the mesh, not %d: %w", have, n, errTooLate)
		}
	}
}

// router makes a pubsub.
type router func(context.Context, host.Host, ...pubsub.Option) (*pubsub.PubSub, error)

// subscribe lets all hosts join a topic until the test ends. No queue of theirs is full in a test.
func subscribe(t *testing.T, hosts []host.Host, start router, opts ...pubsub.Option) []*member {
	t.Helper()
	out := make([]*member, len(hosts))
	for i, h := range hosts {
		m := &member{host: h, mesh: &mesh{peers: map[peer.ID]bool{}, changed: make(chan struct{}, 1)}}
		ps, err := start(t.Context(), h, append(slices.Clone(opts), pubsub.WithEventTracer(m.mesh),
			pubsub.WithPeerOutboundQueueSize(1<<12), pubsub.WithValidateQueueSize(1<<12))...)
		if err == nil {
			m.topic, err = ps.Join("storm")
		}
		if err == nil {
			m.events, err = m.topic.EventHandler()
		}
		if err == nil {
			m.sub, err = m.topic.Subscribe(pubsub.WithBufferSize(1 << 12))
		}
		if err != nil {
			t.Fatal(err)
		}
		out[i] = m
	}
	return out
}

// awaitPeers waits until a member has seen n others subscribe.
func (m *member) awaitPeers(ctx context.Context, n int) error {
	there := map[peer.ID]bool{}
	for len(there) < n {
		e, err := m.events.NextPeerEvent(ctx)
		if err != nil {
			return fmt.Errorf("%d peers of the topic, not %d: %w", len(there), n, err)
		}
		if e.Type == pubsub.PeerJoin {
			there[e.Peer] = true
		} else {
			delete(there, e.Peer)
		}
	}
	return nil
}

// receive reads until each of the messages has come once. A second copy is an error: pubsub knows what it has seen.
func (m *member) receive(ctx context.Context, messages map[string]bool) error {
	left := maps.Clone(messages)
	for len(left) > 0 {
		msg, err := m.sub.Next(ctx)
		if err != nil {
			return fmt.Errorf("%d of %d messages are missing, one is %q: %w", len(left), len(messages),
				slices.Collect(maps.Keys(left))[0], err)
		}
		if !left[string(msg.Data)] {
			return fmt.Errorf("%q came twice, or never left", msg.Data)
		}
		delete(left, string(msg.Data))
	}
	return nil
}

// each runs fn for all members at once and fails the test for each error.
func each(t *testing.T, members []*member, fn func(i int, m *member) error) {
	t.Helper()
	errs := make([]error, len(members))
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() { errs[i] = fn(i, m) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("%s %d: %v", kinds[i%2].name, i, err)
		}
	}
}

// exchange lets each member publish n messages, one after the other, and expects all of them at all members.
func exchange(t *testing.T, members []*member, n int) {
	t.Helper()
	want := map[string]bool{}
	for i := range members {
		for k := range n {
			want[text(i, k)] = true
		}
	}
	ctx := within(t)
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() {
			for k := range n {
				if err := m.topic.Publish(ctx, []byte(text(i, k))); err != nil {
					t.Errorf("publish: %v", err)
				}
			}
		})
	}
	each(t, members, func(_ int, m *member) error { return m.receive(ctx, want) })
	wg.Wait()
}

func text(member, message int) string { return fmt.Sprintf("message %d of member %d", message, member) }
