package services

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

// PubSub spreads messages by topic, with gossipsub. All methods may be called concurrently. They wait until Run runs,
// and fail with host.ErrStopped when it has ended.
type PubSub struct {
	cfg     PubSubConfig
	host    corehost.Host
	log     *slog.Logger
	filter  *topicFilter
	counts  *pubsubCounts
	life    life[*pubsub.PubSub]
	readers chan struct{} // a place for each reader of the admin API

	turn chan struct{} // a place for the one that joins or leaves topics; guards what follows
	in   map[string]*joined
}

// joined is a topic that the node is in.
type joined struct {
	topic *pubsub.Topic
	users int    // that need it; without any it is left when there is no room for another
	relay func() // ends passing it on without readers; nil if nobody asked for that
}

// TopicsError reports that the node is in as many topics as it may be.
type TopicsError struct{ Most int }

func (e *TopicsError) Error() string {
	return fmt.Sprintf("%d topics are in use: services.pubsub.max_topics allows no more", e.Most)
}

// ErrNotIn reports that the node is not in the topic.
var ErrNotIn = errors.New("the node is not in that topic")

// NewPubSub checks cfg and builds the service, over a host that golibp2p.New has made, or any other of go-libp2p. id is
// the node's identity; a nil one says that the host's peerstore has the key. It fails if messages are to be signed and
// the identity is in a signer that does not sign them.
func NewPubSub(ctx context.Context, cfg PubSubConfig, h corehost.Host, id handshake.Identity,
	log *slog.Logger) (*PubSub, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := canSign(ctx, cfg, id); err != nil {
		return nil, err
	}
	s := &PubSub{cfg: cfg, host: h, log: log, life: newLife[*pubsub.PubSub](),
		readers: make(chan struct{}, mostReaders), turn: make(chan struct{}, 1), in: map[string]*joined{}}
	s.filter = newTopicFilter(cfg.MaxPeerTopics, func(p peer.ID) bool {
		return h.Network().Connectedness(p) == network.Connected
	})
	s.counts = newPubsubCounts(s.filter)
	return s, nil
}

// canSign asks a signer in another process whether it signs messages.
func canSign(ctx context.Context, cfg PubSubConfig, id handshake.Identity) error {
	remote, ok := id.(*signer.Identity)
	if !ok || cfg.Signatures != SignStrict {
		return nil
	}
	err := remote.Allows(ctx, handshake.SignPubsub)
	if _, refused := errors.AsType[*signer.RefusedError](err); refused {
		return fmt.Errorf("messages must be signed: %w: start the signer with --allow pubsub, or set "+
			"services.pubsub.signatures = %q in all nodes", err, SignNone)
	}
	return err
}

// Run works until ctx ends.
func (s *PubSub) Run(ctx context.Context) error {
	defer close(s.life.ended)
	watch := s.filter.watch()
	s.host.Network().Notify(watch)
	defer s.host.Network().StopNotify(watch)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lib, err := pubsub.NewGossipSub(ctx, s.host, s.options()...)
	if err != nil {
		return err
	}
	for _, topic := range s.cfg.Topics {
		if _, err := s.acquire(ctx, lib, topic, true); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	s.life.begin(lib)
	<-ctx.Done()
	return nil
}

func (s *PubSub) options() []pubsub.Option {
	opts := []pubsub.Option{
		pubsub.WithGossipSubParams(s.cfg.params()), pubsub.WithSubscriptionFilter(s.filter),
		pubsub.WithMaxMessageSize(s.cfg.MaxMessage + overhead), pubsub.WithPeerOutboundQueueSize(s.cfg.Queue),
		pubsub.WithSeenMessagesTTL(s.cfg.SeenTTL), pubsub.WithFloodPublish(s.cfg.FloodPublish),
		pubsub.WithPeerExchange(s.cfg.PeerExchange), pubsub.WithRawTracer(s.counts), pubsub.WithLogger(s.log),
		pubsub.WithDefaultValidator(noteID, pubsub.WithValidatorInline(true)),
	}
	if s.cfg.Signatures == SignNone {
		opts = append(opts, pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithNoAuthor(),
			pubsub.WithMessageIdFn(contentID))
	}
	return append(opts, s.cfg.Options...)
}

// contentID is the id of a message that has no author.
func contentID(m *pb.Message) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d:%s", len(m.GetTopic()), m.GetTopic()) // so that topic and data cannot be shifted
	_, _ = h.Write(m.GetData())
	return string(h.Sum(nil))
}

// receipt is how Publish learns the id of its message.
type receipt struct{ id string }

// noteID is a validator that refuses nothing.
func noteID(_ context.Context, _ peer.ID, m *pubsub.Message) bool {
	if r, ok := m.ValidatorData.(*receipt); ok { // of a message of ours
		r.id = m.ID
	}
	return true
}

// Library returns the library's own, once the service runs: to register validators, or set scores.
func (s *PubSub) Library(ctx context.Context) (*pubsub.PubSub, error) { return s.life.get(ctx) }

// acquire joins a topic, or finds that it is joined, and counts a user of it.
func (s *PubSub) acquire(ctx context.Context, lib *pubsub.PubSub, name string, relay bool) (*joined, error) {
	if err := checkTopic(name); err != nil {
		return nil, err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.turn }()
	j := s.in[name]
	if j == nil {
		if err := s.makeRoom(); err != nil {
			return nil, err
		}
		topic, err := lib.Join(name)
		if err != nil {
			return nil, fmt.Errorf("topic %q: %w", name, err)
		}
		j = &joined{topic: topic}
		s.in[name] = j
	}
	if relay && j.relay == nil {
		stop, err := j.topic.Relay()
		if err != nil {
			return nil, fmt.Errorf("topic %q: %w", name, err)
		}
		j.relay = stop
	}
	j.users++
	return j, nil
}

// makeRoom leaves a topic that nobody uses, if the node may be in no more.
func (s *PubSub) makeRoom() error {
	if len(s.in) < s.cfg.MaxTopics {
		return nil
	}
	for name, j := range s.in {
		if j.users == 0 && j.topic.Close() == nil {
			delete(s.in, name)
			return nil
		}
	}
	return &TopicsError{s.cfg.MaxTopics}
}

// release takes back what acquire has counted.
func (s *PubSub) release(j *joined) {
	s.turn <- struct{}{}
	j.users--
	<-s.turn
}

// Enter makes the node subscribe to a topic until Leave, also while nobody reads it. It reports whether that is new.
func (s *PubSub) Enter(ctx context.Context, topic string) (bool, error) {
	lib, err := s.life.get(ctx)
	if err != nil {
		return false, err
	}
	j, err := s.acquire(ctx, lib, topic, false)
	if err != nil {
		return false, err
	}
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if j.relay != nil { // it was entered before
		j.users--
		return false, nil
	}
	if j.relay, err = j.topic.Relay(); err != nil {
		j.users--
		return false, fmt.Errorf("topic %q: %w", topic, err)
	}
	return true, nil
}

// Leave is the inverse of Enter. Topics of the configuration stay. Its error is ErrNotIn if there was no Enter.
func (s *PubSub) Leave(ctx context.Context, topic string) error {
	if _, err := s.life.get(ctx); err != nil {
		return err
	}
	if slices.Contains(s.cfg.Topics, topic) {
		return fmt.Errorf("topic %q is in services.pubsub.topics", topic)
	}
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	j := s.in[topic]
	if j == nil || j.relay == nil {
		return ErrNotIn
	}
	j.relay()
	j.relay = nil
	j.users--
	return nil
}

// Published says what became of a message that this node has published.
type Published struct {
	Topic string `json:"topic"`
	ID    string `json:"id"` // in hex
	Bytes int    `json:"bytes"`
	Peers int    `json:"peers"` // that are in the topic and linked to us
}

// Publish sends data to a topic, in which the node need not be. It returns when the message is on its way; that nobody
// is there is no error. A message is at most PubSubConfig.MaxMessage bytes.
func (s *PubSub) Publish(ctx context.Context, topic string, data []byte) (Published, error) {
	if len(data) > s.cfg.MaxMessage {
		return Published{}, &SizeError{len(data), s.cfg.MaxMessage}
	}
	lib, err := s.life.get(ctx)
	if err != nil {
		return Published{}, err
	}
	j, err := s.acquire(ctx, lib, topic, false)
	if err != nil {
		return Published{}, err
	}
	defer s.release(j)
	r := &receipt{}
	if err := j.topic.Publish(ctx, data, pubsub.WithValidatorData(r)); err != nil {
		return Published{}, s.ended(err)
	}
	return Published{Topic: topic, ID: hex.EncodeToString([]byte(r.id)), Bytes: len(data),
		Peers: len(j.topic.ListPeers())}, nil
}

// SizeError reports a message that is longer than services.pubsub.max_message.
type SizeError struct{ Size, Most int }

func (e *SizeError) Error() string {
	return fmt.Sprintf("a message of %d bytes: services.pubsub.max_message allows %d", e.Size, e.Most)
}

// ended tells an error of the library from the end of the service.
func (s *PubSub) ended(err error) error {
	select {
	case <-s.life.ended:
		return host.ErrStopped
	default:
		return err
	}
}

// TopicInfo is a topic that the node is in.
type TopicInfo struct {
	Topic string `json:"topic"`
	// Subscribed says that the node gets its messages and passes them on. It publishes to others without.
	Subscribed bool `json:"subscribed"`
	Peers      int  `json:"peers"` // that are in the topic and linked to us
}

// Topics returns the topics that the node is in, by name.
func (s *PubSub) Topics(ctx context.Context) ([]TopicInfo, error) {
	lib, err := s.life.get(ctx)
	if err != nil {
		return nil, err
	}
	subscribed := lib.GetTopics()
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	out := make([]TopicInfo, 0, len(s.in))
	for name, j := range s.in {
		out = append(out, TopicInfo{Topic: name, Subscribed: j.relay != nil || slices.Contains(subscribed, name),
			Peers: len(j.topic.ListPeers())})
	}
	slices.SortFunc(out, func(a, b TopicInfo) int { return compare(a.Topic, b.Topic) })
	return out, nil
}

// PeerName names a peer in both forms.
type PeerName struct {
	NodeID transport.NodeID `json:"node_id"`
	PeerID string           `json:"peer_id"`
}

func nameOf(p peer.ID) PeerName {
	text := p.String()
	id, _ := transport.ParseNodeID(text)
	return PeerName{id, text}
}

// Peers returns the peers that are linked to us and in a topic; with "" all that speak pubsub.
func (s *PubSub) Peers(ctx context.Context, topic string) ([]PeerName, error) {
	lib, err := s.life.get(ctx)
	if err != nil {
		return nil, err
	}
	list := lib.ListPeers(topic)
	out := make([]PeerName, len(list))
	for i, p := range list {
		out[i] = nameOf(p)
	}
	slices.SortFunc(out, func(a, b PeerName) int { return compare(a.PeerID, b.PeerID) })
	return out, nil
}
