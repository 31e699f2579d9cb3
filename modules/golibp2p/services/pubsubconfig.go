package services

import (
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p-pubsub"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// Bounds that are no settings.
const (
	// MaxTopic bounds the name of a topic in bytes, ours and those that peers subscribe to.
	MaxTopic = 256
	// overhead is what a message may have beside its data: author, number, topic, signature, key.
	overhead = 4 << 10
	// mostMessage is the largest max_message: a signer signs no more at once.
	mostMessage = handshake.MaxPubsub - overhead
	// mostReaders bounds how many read messages through the admin API at once.
	mostReaders = 16
)

// The values of PubSubConfig.Signatures.
const (
	// SignStrict signs each message of ours and drops messages without a good signature of their author.
	SignStrict = "strict"
	// SignNone sends no author and no signature, and drops messages that have one. The id of a message is the hash of
	// its topic and data.
	SignNone = "none"
)

// PubSubConfig is what [services.pubsub] may say.
type PubSubConfig struct {
	// Topics are subscribed to for the node's whole life: it passes their messages on, also while nobody reads them.
	Topics []string
	// MaxTopics bounds how many topics the node is in at once, with those of the API and of programs.
	MaxTopics int
	// MaxPeerTopics bounds how many subscriptions of one peer are kept; further ones are dropped and counted.
	MaxPeerTopics int
	// Signatures is SignStrict or SignNone. All nodes of a topic must agree.
	Signatures string
	// MaxMessage bounds the data of a message in bytes.
	MaxMessage int
	// Buffer is how many messages wait for one slow reader before some are dropped, and counted for it.
	Buffer int
	// Queue is how many packets wait for one slow peer before some are dropped, and counted.
	Queue int

	// Degree is how many peers of a topic a message goes to at once, and gossipsub keeps it between DegreeLow and
	// DegreeHigh. DegreeLazy is how many others hear of a message's id.
	Degree, DegreeLow, DegreeHigh, DegreeLazy int
	// Heartbeat is how often that is looked after.
	Heartbeat time.Duration
	// HistoryLength is for how many heartbeats messages are kept for peers that ask, HistoryGossip for how many they
	// are told of.
	HistoryLength, HistoryGossip int
	// SeenTTL is how long a message is known, so that it is not taken again.
	SeenTTL time.Duration
	// FloodPublish sends our own messages to all peers of their topic, and not to Degree of them alone.
	FloodPublish bool
	// PeerExchange tells peers that we drop from a topic of others in it, which they may dial.
	PeerExchange bool

	// Options are further options of the library, for Go programs.
	Options []pubsub.Option `toml:"-"`
}

// DefaultPubSub returns the defaults: gossipsub's own.
func DefaultPubSub() PubSubConfig {
	p := pubsub.DefaultGossipSubParams()
	return PubSubConfig{Topics: []string{}, MaxTopics: 128, MaxPeerTopics: 256, Signatures: SignStrict,
		MaxMessage: mostMessage, Buffer: 64, Queue: 32, Degree: p.D, DegreeLow: p.Dlo, DegreeHigh: p.Dhi,
		DegreeLazy: p.Dlazy, Heartbeat: p.HeartbeatInterval, HistoryLength: p.HistoryLength,
		HistoryGossip: p.HistoryGossip, SeenTTL: pubsub.TimeCacheDuration, FloodPublish: true}
}

// Validate reports an impossible setting.
func (c PubSubConfig) Validate() error {
	seen := map[string]bool{}
	for _, topic := range c.Topics {
		if err := checkTopic(topic); err != nil {
			return fmt.Errorf("topics: %w", err)
		}
		if seen[topic] {
			return fmt.Errorf("topics: %q is there twice", topic)
		}
		seen[topic] = true
	}
	if c.Signatures != SignStrict && c.Signatures != SignNone {
		return fmt.Errorf("signatures: want %q or %q, got %.40q", SignStrict, SignNone, c.Signatures)
	}
	for _, n := range []struct {
		key             string
		value, min, max int
	}{
		{"max_topics", c.MaxTopics, max(1, len(c.Topics)), 10_000},
		{"max_peer_topics", c.MaxPeerTopics, 1, 100_000},
		{"max_message", c.MaxMessage, 1, mostMessage},
		{"buffer", c.Buffer, 1, 10_000},
		{"queue", c.Queue, 1, 10_000},
		{"degree", c.Degree, 2, 100},
		{"degree_low", c.DegreeLow, 1, c.Degree},
		{"degree_high", c.DegreeHigh, c.Degree, 200},
		{"degree_lazy", c.DegreeLazy, 0, 100},
		{"history_length", c.HistoryLength, 1, 1000},
		{"history_gossip", c.HistoryGossip, 1, c.HistoryLength},
	} {
		if n.value < n.min || n.value > n.max {
			return fmt.Errorf("%s: %d is not in %d to %d", n.key, n.value, n.min, n.max)
		}
	}
	switch {
	case c.Heartbeat < 10*time.Millisecond || c.Heartbeat > time.Minute:
		return fmt.Errorf("heartbeat: %v is not in 10ms to 1m", c.Heartbeat)
	case c.SeenTTL < time.Second || c.SeenTTL > 24*time.Hour:
		return fmt.Errorf("seen_ttl: %v is not in 1s to 24h", c.SeenTTL)
	}
	return nil
}

// checkTopic refuses what is no name of a topic.
func checkTopic(topic string) error {
	switch {
	case topic == "":
		return errors.New("the name of the topic is empty")
	case len(topic) > MaxTopic:
		return fmt.Errorf("the name of the topic has %d bytes, more than %d", len(topic), MaxTopic)
	}
	return nil
}

// params returns gossipsub's own settings.
func (c PubSubConfig) params() pubsub.GossipSubParams {
	p := pubsub.DefaultGossipSubParams()
	p.D, p.Dlo, p.Dhi, p.Dlazy = c.Degree, c.DegreeLow, c.DegreeHigh, c.DegreeLazy
	p.Dscore = min(p.Dscore, p.D)
	p.Dout = max(0, min(p.Dout, p.Dlo-1, p.D/2-1)) // the library wants less than these
	p.HeartbeatInterval = c.Heartbeat
	p.HistoryLength, p.HistoryGossip = c.HistoryLength, c.HistoryGossip
	return p
}
