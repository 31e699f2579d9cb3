package services

import (
	"context"
	"encoding/hex"
	"net"
	"sync"
	"sync/atomic"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"

	"github.com/switchyard-p2p/switchyard/host"
)

// Message is a message of a topic.
type Message struct {
	Time  time.Time `json:"time"` // when it was handed out here
	Topic string    `json:"topic"`
	ID    string    `json:"id"` // in hex
	// From is its author, proven by the signature; zero if messages are not signed.
	From PeerName `json:"from"`
	// Via is the peer that we have it from; this node for its own.
	Via   PeerName `json:"via"`
	Bytes int      `json:"bytes"`
	Data  []byte   `json:"data"` // in base64
	// Missed counts messages that the reader was too slow for, since the one that it got before.
	Missed uint64 `json:"missed,omitempty"`
}

// Subscription reads the messages of a topic from now on.
type Subscription struct {
	service *PubSub
	joined  *joined
	sub     *pubsub.Subscription
	queue   chan *pubsub.Message
	missed  atomic.Uint64 // since the last one that was handed out
	once    sync.Once
	closed  chan struct{}
}

// Subscribe subscribes to a topic until Close. Messages that the node publishes itself are among those it gets.
func (s *PubSub) Subscribe(ctx context.Context, topic string) (*Subscription, error) {
	lib, err := s.life.get(ctx)
	if err != nil {
		return nil, err
	}
	j, err := s.acquire(ctx, lib, topic, false)
	if err != nil {
		return nil, err
	}
	return s.read(j)
}

// subscribeJoined is Subscribe for a topic that the node subscribes to already. Its error is ErrNotIn if it does not.
func (s *PubSub) subscribeJoined(ctx context.Context, topic string) (*Subscription, error) {
	if _, err := s.life.get(ctx); err != nil {
		return nil, err
	}
	s.turn <- struct{}{}
	j := s.in[topic]
	there := j != nil && j.relay != nil
	if there {
		j.users++
	}
	<-s.turn
	if !there {
		return nil, ErrNotIn
	}
	return s.read(j)
}

// read makes a subscription of a topic for which a user is counted.
func (s *PubSub) read(j *joined) (*Subscription, error) {
	out := &Subscription{service: s, joined: j, queue: make(chan *pubsub.Message, s.cfg.Buffer),
		closed: make(chan struct{})}
	sub, err := j.topic.Subscribe(pubsub.WithBufferSize(1), pubsub.WithMessageFilter(out.take))
	if err != nil {
		s.release(j)
		return nil, s.ended(err)
	}
	out.sub = sub
	return out, nil
}

// take puts a message into the queue, or counts it as missed. It is a filter of the library, which refuses all: so the
// reader learns what it has missed, and a wait can end with the service.
func (s *Subscription) take(m *pubsub.Message) bool {
	select {
	case s.queue <- m:
	default:
		s.missed.Add(1)
		s.service.counts.missed.Inc()
	}
	return false
}

// Next waits for the next message. Its error is that of ctx, host.ErrStopped, or net.ErrClosed after Close.
func (s *Subscription) Next(ctx context.Context) (Message, error) {
	select {
	case m := <-s.queue:
		out := Message{Time: time.Now(), Topic: m.GetTopic(), ID: hex.EncodeToString([]byte(m.ID)), Bytes: len(m.Data),
			Data: m.Data, Via: nameOf(m.ReceivedFrom), Missed: s.missed.Swap(0)}
		if from := m.GetFrom(); from != "" {
			out.From = nameOf(from)
		}
		return out, nil
	case <-s.closed:
		return Message{}, net.ErrClosed
	case <-s.service.life.ended:
		return Message{}, host.ErrStopped
	case <-ctx.Done():
		return Message{}, ctx.Err()
	}
}

// Close ends the subscription. It may be called again.
func (s *Subscription) Close() {
	s.once.Do(func() {
		close(s.closed)
		s.sub.Cancel()
		s.service.release(s.joined)
	})
}
