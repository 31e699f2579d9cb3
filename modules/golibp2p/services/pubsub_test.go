package services

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/modules/golibp2p"
)

// pubsubOf runs the service over a host.
func pubsubOf(t *testing.T, h corehost.Host, change ...func(*PubSubConfig)) *PubSub {
	t.Helper()
	cfg := DefaultPubSub()
	for _, fn := range change {
		fn(&cfg)
	}
	s, err := NewPubSub(within(t), cfg, h, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	run(t, s.Run)
	return s
}

// inTopic waits until a service knows that so many peers are in a topic.
func inTopic(t *testing.T, s *PubSub, topic string, n int) {
	t.Helper()
	var last []PeerName
	defer func() {
		if t.Failed() {
			all, err := s.Peers(context.Background(), "")
			t.Logf("in the topic are %v of %v (%v), want %d", last, all, err, n)
		}
	}()
	eventually(t, "the peers are in the topic", func(ctx context.Context) bool {
		list, err := s.Peers(ctx, topic)
		last = list
		return err == nil && len(list) == n
	})
}

// Two nodes and a real go-libp2p peer get each other's messages, signed or not.
func TestPubSub(t *testing.T) {
	for _, signatures := range []string{SignStrict, SignNone} {
		t.Run(signatures, func(t *testing.T) {
			ctx := within(t)
			ah, bh, ch := node(t), node(t), realHost(t)
			set := func(c *PubSubConfig) { c.Signatures = signatures }
			a := pubsubOf(t, ah, set, func(c *PubSubConfig) { c.Topics = []string{"news"} })
			b := pubsubOf(t, bh, set)
			opts := []pubsub.Option{}
			if signatures == SignNone {
				opts = append(opts, pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithNoAuthor(),
					pubsub.WithMessageIdFn(func(m *pb.Message) string { return string(m.GetData()) }))
			}
			stopped, stop := context.WithCancel(t.Context())
			defer stop()
			c, err := pubsub.NewGossipSub(stopped, ch, opts...)
			if err != nil {
				t.Fatal(err)
			}
			topic := must[*pubsub.Topic](t)(c.Join("news"))
			theirs := must[*pubsub.Subscription](t)(topic.Subscribe())
			t.Logf("a is %s, b %s, c %s", ah.ID(), bh.ID(), ch.ID())
			defer func() {
				if t.Failed() {
					for _, x := range []corehost.Host{ah, bh, ch} {
						for _, y := range []corehost.Host{ah, bh, ch} {
							ps, _ := x.Peerstore().GetProtocols(y.ID())
							t.Logf("%s knows of %s: %v", x.ID(), y.ID(), ps)
							for _, c := range x.Network().ConnsToPeer(y.ID()) {
								for _, s := range c.GetStreams() {
									t.Logf("   stream %v %v", s.Protocol(), s.Stat().Direction)
								}
							}
						}
					}
				}
			}()
			connect(t, ah, bh)
			connect(t, ch, ah)
			ours := must[*Subscription](t)(b.Subscribe(ctx, "news"))
			defer ours.Close()
			inTopic(t, a, "news", 2)
			inTopic(t, b, "news", 1)
			eventually(t, "a passes messages on to both", func(context.Context) bool {
				return testutil.ToFloat64(a.counts.mesh) == 2
			})

			out, err := b.Publish(ctx, "news", []byte("from b"))
			if err != nil || out.Topic != "news" || out.Bytes != 6 || out.Peers != 1 || out.ID == "" {
				t.Errorf("published %+v, %v", out, err)
			}
			if m, err := theirs.Next(ctx); err != nil || string(m.Data) != "from b" {
				t.Errorf("the go-libp2p peer got %v, %v", m, err)
			}
			if m, err := ours.Next(ctx); err != nil || m.ID != out.ID || string(m.Data) != "from b" {
				t.Errorf("b itself got %+v, %v", m, err)
			}
			if err := topic.Publish(ctx, []byte("from c")); err != nil {
				t.Fatal(err)
			}
			m, err := ours.Next(ctx)
			if err != nil || string(m.Data) != "from c" || m.Via.PeerID != ah.ID().String() || m.Bytes != 6 ||
				m.Missed != 0 || m.Topic != "news" {
				t.Errorf("b got %+v, %v", m, err)
			}
			want := ch.ID().String()
			if signatures == SignNone {
				want = ""
			}
			if m.From.PeerID != want {
				t.Errorf("the author is %q, want %q", m.From.PeerID, want)
			}
			if list, err := a.Topics(ctx); err != nil || !slices.Equal(list, []TopicInfo{{"news", true, 2}}) {
				t.Errorf("topics: %+v, %v", list, err)
			}
		})
	}
}

// A reader that is too slow learns how much it has missed.
func TestSlowReader(t *testing.T) {
	ctx := within(t)
	s := pubsubOf(t, node(t), func(c *PubSubConfig) { c.Buffer = 3 })
	slow := must[*Subscription](t)(s.Subscribe(ctx, "t"))
	quick := must[*Subscription](t)(s.Subscribe(ctx, "t"))
	for i := range 10 {
		must[Published](t)(s.Publish(ctx, "t", []byte{byte(i)}))
		if m, err := quick.Next(ctx); err != nil || !bytes.Equal(m.Data, []byte{byte(i)}) || m.Missed != 0 {
			t.Fatalf("message %d: %+v, %v", i, m, err)
		}
	}
	if m, err := slow.Next(ctx); err != nil || m.Data[0] != 0 || m.Missed != 7 {
		t.Errorf("%+v, %v", m, err)
	}
	slow.Close()
	slow.Close()
	quick.Close()
	if _, err := quick.Next(ctx); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// The number of topics is bounded; those that nobody uses make room.
func TestTopicsAreBounded(t *testing.T) {
	ctx := within(t)
	s := pubsubOf(t, node(t), func(c *PubSubConfig) { c.Topics, c.MaxTopics = []string{"kept"}, 3 })
	sub := must[*Subscription](t)(s.Subscribe(ctx, "read"))
	for _, topic := range []string{"x", "y", "z"} {
		must[Published](t)(s.Publish(ctx, topic, []byte("m")))
	}
	for _, want := range []bool{true, false} {
		if fresh, err := s.Enter(ctx, "entered"); err != nil || fresh != want {
			t.Errorf("enter: %v, %v", fresh, err)
		}
	}
	var many *TopicsError
	if _, err := s.Publish(ctx, "x", []byte("m")); !errors.As(err, &many) {
		t.Errorf("a fourth topic: %v", err)
	}
	if err := s.Leave(ctx, "kept"); err == nil {
		t.Error("a topic of the configuration was left")
	}
	if err := s.Leave(ctx, "read"); !errors.Is(err, ErrNotIn) {
		t.Errorf("a topic that was not entered: %v", err)
	}
	if err := s.Leave(ctx, "entered"); err != nil {
		t.Error(err)
	}
	must[Published](t)(s.Publish(ctx, "x", []byte("m")))
	sub.Close()
	list, err := s.Topics(ctx)
	if err != nil || len(list) != 3 || list[0] != (TopicInfo{"kept", true, 0}) ||
		list[1] != (TopicInfo{Topic: "read"}) {
		t.Errorf("%+v, %v", list, err)
	}
	for _, topic := range []string{"", strings.Repeat("x", MaxTopic+1)} {
		if _, err := s.Publish(ctx, topic, nil); err == nil {
			t.Errorf("the topic %.10q is taken", topic)
		}
	}
	var size *SizeError
	if _, err := s.Publish(ctx, "kept", make([]byte, mostMessage+1)); !errors.As(err, &size) {
		t.Errorf("a long message: %v", err)
	}
}

// Methods wait for Run, and fail after it.
func TestPubSubLife(t *testing.T) {
	s, err := NewPubSub(t.Context(), DefaultPubSub(), node(t), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := s.Topics(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("before Run: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	sub := must[*Subscription](t)(s.Subscribe(within(t), "t"))
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := sub.Next(t.Context()); !errors.Is(err, host.ErrStopped) {
		t.Errorf("a subscription after Run: %v", err)
	}
	sub.Close()
	if _, err := s.Publish(t.Context(), "t", nil); !errors.Is(err, host.ErrStopped) {
		t.Errorf("after Run: %v", err)
	}
}

// near is a signer in this process.
type near struct{ keeper *signer.Keeper }

func (n near) Describe(context.Context) (signer.Description, error) { return n.keeper.Describe(), nil }
func (n near) Ready(context.Context) error                          { return nil }
func (n near) Sign(ctx context.Context, r signer.Request) ([]byte, error) {
	return n.keeper.Sign(ctx, r)
}

// A signer that does not sign pubsub messages is found at the start; with one that does, a real peer takes them.
func TestPubSubWithSigner(t *testing.T) {
	ctx := within(t)
	key := handshake.NewIdentity([handshake.SeedSize]byte{7})
	identity := func(allowed ...handshake.Purpose) handshake.Identity {
		keeper := must[*signer.Keeper](t)(signer.NewKeeper(ctx, key, allowed...))
		return signer.New(near{keeper}, signer.Config{Signer: "near"})
	}
	mean := identity(signer.Default()...)
	h := node(t, func(c *golibp2p.Config) { c.Identity = identity(handshake.Purposes()...) })
	var refused *signer.RefusedError
	_, err := NewPubSub(ctx, DefaultPubSub(), h, mean, nil)
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "--allow pubsub") {
		t.Errorf("with a signer that does not sign messages: %v", err)
	}
	unsigned := DefaultPubSub()
	unsigned.Signatures = SignNone
	if _, err := NewPubSub(ctx, unsigned, h, mean, nil); err != nil {
		t.Errorf("without signatures: %v", err)
	}

	s := pubsubOf(t, h)
	other := realHost(t)
	lib := must[*pubsub.PubSub](t)(pubsub.NewGossipSub(t.Context(), other))
	topic := must[*pubsub.Topic](t)(lib.Join("t"))
	sub := must[*pubsub.Subscription](t)(topic.Subscribe())
	connect(t, h, other)
	inTopic(t, s, "t", 1)
	must[Published](t)(s.Publish(ctx, "t", []byte("signed elsewhere")))
	m, err := sub.Next(ctx)
	if err != nil || m.GetFrom() != h.ID() || len(m.Signature) == 0 {
		t.Errorf("%v, %v", m, err)
	}
}

// What peers subscribe to is bounded for each, and forgotten when they go.
func TestTopicFilter(t *testing.T) {
	gone := false
	f := newTopicFilter(2, func(peer.ID) bool { return !gone })
	subscribe := func(on bool, topics ...string) (list []*pb.RPC_SubOpts) {
		for _, topic := range topics {
			list = append(list, &pb.RPC_SubOpts{Subscribe: &on, Topicid: &topic})
		}
		return list
	}
	p := peer.ID("p")
	for _, step := range []struct {
		on     bool
		topics []string
		taken  int
	}{
		{true, []string{"a"}, 1}, {true, []string{"a"}, 1}, {true, []string{"b"}, 1}, {true, []string{"c"}, 0},
		{false, []string{"a"}, 1}, {true, []string{"c"}, 1}, {true, []string{"d", "e"}, 0},
		{true, []string{"", strings.Repeat("x", MaxTopic+1)}, 0},
	} {
		taken, err := f.FilterIncomingSubscriptions(p, subscribe(step.on, step.topics...))
		if err != nil || len(taken) != step.taken {
			t.Errorf("%+v: %v, %v", step, taken, err)
		}
	}
	if n := f.dropped.Load(); n != 3 {
		t.Errorf("%d were dropped", n)
	}
	many := make([]string, mostSubscriptions+1)
	if _, err := f.FilterIncomingSubscriptions(p, subscribe(true, many...)); err == nil {
		t.Error("a packet with too many is taken")
	}
	f.forget(p)
	gone = true // and what it sent is handled late
	if taken, err := f.FilterIncomingSubscriptions(p, subscribe(true, "late")); err != nil || len(taken) > 0 {
		t.Errorf("of a peer that has gone %v is taken, %v", taken, err)
	}
	if len(f.byPeer) != 0 {
		t.Errorf("%v is left", f.byPeer)
	}
}

func TestPubSubSettings(t *testing.T) {
	if err := DefaultPubSub().Validate(); err != nil {
		t.Error(err)
	}
	for key, change := range map[string]func(*PubSubConfig){
		"topics":         func(c *PubSubConfig) { c.Topics = []string{"a", "a"} },
		"signatures":     func(c *PubSubConfig) { c.Signatures = "lax" },
		"max_topics":     func(c *PubSubConfig) { c.Topics, c.MaxTopics = []string{"a", "b"}, 1 },
		"max_message":    func(c *PubSubConfig) { c.MaxMessage = mostMessage + 1 },
		"degree":         func(c *PubSubConfig) { c.Degree = 1 },
		"degree_low":     func(c *PubSubConfig) { c.DegreeLow = c.Degree + 1 },
		"degree_high":    func(c *PubSubConfig) { c.DegreeHigh = c.Degree - 1 },
		"history_gossip": func(c *PubSubConfig) { c.HistoryGossip = c.HistoryLength + 1 },
		"heartbeat":      func(c *PubSubConfig) { c.Heartbeat = 0 },
		"seen_ttl":       func(c *PubSubConfig) { c.SeenTTL = 0 },
	} {
		c := DefaultPubSub()
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), key+": ") {
			t.Errorf("%s: %v", key, err)
		}
	}
	small := DefaultPubSub() // the library takes the smallest settings, too
	small.Degree, small.DegreeLow, small.DegreeHigh, small.DegreeLazy = 2, 1, 2, 0
	pubsubOf(t, node(t), func(c *PubSubConfig) { *c = small })
}
