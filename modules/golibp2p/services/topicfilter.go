package services

import (
	"sync"
	"sync/atomic"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// mostSubscriptions bounds the subscriptions in one packet. A peer tells all of its own in the first one.
const mostSubscriptions = 4096

// topicFilter bounds what peers may make us remember: the topics that they subscribe to. It implements
// pubsub.SubscriptionFilter.
type topicFilter struct {
	most      int                // topics of one peer
	connected func(peer.ID) bool // of the host; false by the time that watch hears of a peer's end
	dropped   atomic.Uint64

	mu     sync.Mutex // guards what follows
	byPeer map[peer.ID]map[string]struct{}
}

func newTopicFilter(most int, connected func(peer.ID) bool) *topicFilter {
	return &topicFilter{most: most, connected: connected, byPeer: map[peer.ID]map[string]struct{}{}}
}

// CanSubscribe bounds our own topics.
func (f *topicFilter) CanSubscribe(topic string) bool { return checkTopic(topic) == nil }

// FilterIncomingSubscriptions returns what of a peer's packet is taken. Of a peer that has gone that is nothing: pubsub
// handles its last packets afterwards, and nobody would forget them.
func (f *topicFilter) FilterIncomingSubscriptions(from peer.ID, subs []*pb.RPC_SubOpts) ([]*pb.RPC_SubOpts, error) {
	if len(subs) > mostSubscriptions {
		f.dropped.Add(uint64(len(subs)))
		return nil, pubsub.ErrTooManySubscriptions
	}
	subs = pubsub.FilterSubscriptions(subs, f.CanSubscribe)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.connected(from) {
		return nil, nil
	}
	topics := f.byPeer[from]
	var taken []*pb.RPC_SubOpts
	for _, s := range subs { // what ends makes room
		if !s.GetSubscribe() {
			delete(topics, s.GetTopicid())
			taken = append(taken, s)
		}
	}
	for _, s := range subs {
		if !s.GetSubscribe() {
			continue
		}
		if topics == nil {
			topics = map[string]struct{}{}
			f.byPeer[from] = topics
		}
		if _, there := topics[s.GetTopicid()]; !there && len(topics) >= f.most {
			f.dropped.Add(1)
			continue
		}
		topics[s.GetTopicid()] = struct{}{}
		taken = append(taken, s)
	}
	if len(topics) == 0 {
		delete(f.byPeer, from)
	}
	return taken, nil
}

// forget drops what is known of a peer that has gone.
func (f *topicFilter) forget(p peer.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.byPeer, p)
}

// watch makes the filter forget peers that go.
func (f *topicFilter) watch() network.Notifiee {
	return &network.NotifyBundle{DisconnectedF: func(n network.Network, c network.Conn) {
		if n.Connectedness(c.RemotePeer()) != network.Connected {
			f.forget(c.RemotePeer())
		}
	}}
}
