package services

import (
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/prometheus/client_golang/prometheus"
)

// pubsubCounts counts what becomes of messages. It implements pubsub.RawTracer, whose methods must not block.
type pubsubCounts struct {
	messages *prometheus.CounterVec
	packets  *prometheus.CounterVec
	missed   prometheus.Counter
	topics   prometheus.CounterFunc
	mesh     prometheus.Gauge
}

var _ pubsub.RawTracer = (*pubsubCounts)(nil)

func newPubsubCounts(filter *topicFilter) *pubsubCounts {
	c := &pubsubCounts{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "switchyard_pubsub_messages_total",
			Help: "Messages of pubsub, by what became of them."}, []string{"outcome"}),
		packets: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "switchyard_pubsub_packets_total",
			Help: "Packets of pubsub that were received, sent, or dropped because a peer is slow."},
			[]string{"outcome"}),
		missed: prometheus.NewCounter(prometheus.CounterOpts{Name: "switchyard_pubsub_missed_total",
			Help: "Messages that a slow reader of this node has missed."}),
		mesh: prometheus.NewGauge(prometheus.GaugeOpts{Name: "switchyard_pubsub_mesh_peers",
			Help: "Peers to which messages go at once, summed over the topics."}),
		topics: prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "switchyard_pubsub_subscriptions_dropped_total",
			Help: "Subscriptions of peers beyond services.pubsub.max_peer_topics."},
			func() float64 { return float64(filter.dropped.Load()) }),
	}
	for _, outcome := range []string{"delivered", "duplicate", "rejected"} {
		c.messages.WithLabelValues(outcome)
	}
	for _, outcome := range []string{"received", "sent", "dropped"} {
		c.packets.WithLabelValues(outcome)
	}
	return c
}

// collectors returns the service's metrics.
func (s *PubSub) collectors() []prometheus.Collector {
	c := s.counts
	return []prometheus.Collector{c.messages, c.packets, c.missed, c.mesh, c.topics}
}

func (c *pubsubCounts) DeliverMessage(*pubsub.Message) { c.messages.WithLabelValues("delivered").Inc() }
func (c *pubsubCounts) DuplicateMessage(*pubsub.Message) {
	c.messages.WithLabelValues("duplicate").Inc()
}
func (c *pubsubCounts) RejectMessage(*pubsub.Message, string) {
	c.messages.WithLabelValues("rejected").Inc()
}
func (c *pubsubCounts) RecvRPC(*pubsub.RPC)          { c.packets.WithLabelValues("received").Inc() }
func (c *pubsubCounts) SendRPC(*pubsub.RPC, peer.ID) { c.packets.WithLabelValues("sent").Inc() }
func (c *pubsubCounts) DropRPC(*pubsub.RPC, peer.ID) { c.packets.WithLabelValues("dropped").Inc() }
func (c *pubsubCounts) Graft(peer.ID, string)        { c.mesh.Inc() }
func (c *pubsubCounts) Prune(peer.ID, string)        { c.mesh.Dec() }

func (*pubsubCounts) OnNewOutboundStream(peer.ID, protocol.ID)             {}
func (*pubsubCounts) OnClosedOutboundStream(peer.ID)                       {}
func (*pubsubCounts) Join(string)                                          {}
func (*pubsubCounts) Leave(string)                                         {}
func (*pubsubCounts) ValidateMessage(*pubsub.Message)                      {}
func (*pubsubCounts) ThrottlePeer(peer.ID)                                 {}
func (*pubsubCounts) SendRPCCompleted(*pubsub.RPC, peer.ID, time.Duration) {}
func (*pubsubCounts) UndeliverableMessage(*pubsub.Message)                 {}
