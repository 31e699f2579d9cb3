// Package pex finds peers by asking those that we have: peer exchange with CometBFT's messages on channel 0x00, which is a stream on wires that have those. Nodes
// of ours mark their requests, and are told multiaddrs too: so a network may mix wires, and a node that speaks several tells each of what it can use.
//
// What it promises: it answers only what was asked, at a bounded rate, with addresses that the node allows to be told; it takes
// addresses only from a peer that it asked, and only so many; it never asks a peer more often than CometBFT tolerates (two requests are
// free, then one every 10 s: p2p/pex/pex_reactor.go, receiveRequest); it resolves no names on behalf of others; and it forgets
// what it knew of a peer when the peer goes.
package pex

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/pexpb"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// ChannelID is the channel of peer exchange on the comet wire (CometBFT p2p/pex/pex_reactor.go, PexChannel).
const ChannelID = 0x00

const (
	// maxMessage holds CometBFT's largest answer: it allows 250 addresses of 256 bytes (64,000 bytes).
	maxMessage = 64 << 10
	// maxAnswer is how many addresses we tell at once.
	maxAnswer = 100
	// maxTaken is how many addresses of one answer we look at: CometBFT sends up to 250 (p2p/pex/params.go, maxGetSelection).
	maxTaken = 250
	// maxWaiting answers wait to be handed over while the node is busy with earlier ones; more are dropped.
	maxWaiting = 32
	// needCheck is how soon we notice that the node has come to need peers without any of them going.
	needCheck = 5 * time.Second
)

// Config are the source's settings. The zero Config is a useful one.
type Config struct {
	// Seed makes the node a seed: it asks everyone, answers who asks, and hangs up, so that its slots are free for the next.
	Seed bool `toml:"seed"`
}

// Default is an ordinary node.
func Default() Config { return Config{} }

// New opens the channel and builds the source.
func New(cfg Config, env discovery.Env) (discovery.Source, error) {
	ch, err := env.OpenChannel(muxer.Channel{
		ID: ChannelID, Name: "/pex/1.0.0", Priority: 1, MaxMessage: maxMessage,
		// A peer has no business with more than a few messages at once; a flood is dropped before it costs anything.
		SendQueue: 2 * maxMessage, ReceiveQueue: 2 * maxMessage, Overflow: muxer.Drop,
	})
	if err != nil {
		return nil, fmt.Errorf("discovery pex: %w", err)
	}
	return newSource(cfg, ch, env.Logger), nil
}

// lane is what the source needs of its channel. *host.Channel is one.
type lane interface {
	TrySend(to transport.NodeID, msg []byte) bool
	Receive(ctx context.Context) (host.Envelope, error)
}

// updates is what the source needs of a subscription. *host.Subscription is one.
type updates interface {
	Next(ctx context.Context) (host.PeerUpdate, error)
	Close()
}

func newSource(cfg Config, ch lane, log *slog.Logger) *source {
	if log == nil {
		log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return &source{cfg: cfg, ch: ch, log: log}
}

type source struct {
	cfg Config
	ch  lane
	log *slog.Logger
}

// Run asks and answers until ctx ends.
func (s *source) Run(ctx context.Context, n discovery.Network, found func(transport.Address, transport.NodeID)) error {
	return s.run(ctx, n, n.Subscribe(ctx), found)
}

// run starts the three goroutines that wait (for updates, for messages, for the node to take addresses) and loops. The loop
// goroutine owns all state.
func (s *source) run(ctx context.Context, n node, sub updates, found func(transport.Address, transport.NodeID)) error {
	ctx, stop := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop(nil)
	defer sub.Close()

	changes := make(chan host.PeerUpdate)
	wg.Go(func() { stop(pump(ctx, sub.Next, changes)) })
	messages := make(chan host.Envelope)
	wg.Go(func() { stop(pump(ctx, s.ch.Receive, messages)) })
	findings := make(chan finding, maxWaiting)
	wg.Go(func() {
		for {
			select {
			case f := <-findings:
				for _, a := range f.addresses {
					if ctx.Err() != nil {
						return
					}
					found(a, f.from)
				}
			case <-ctx.Done():
				return
			}
		}
	})

	l := &loop{
		node: n, ch: s.ch, log: s.log, seed: s.cfg.Seed, findings: findings,
		peers: make(map[transport.NodeID]*peer), owed: make(map[transport.NodeID]debt), quota: newQuota(), request: pexpb.EncodeRequest(),
		jitter: func(d time.Duration) time.Duration { return rand.N(d) },
	}
	timer := time.NewTimer(needCheck)
	defer timer.Stop()
	for {
		select {
		case u := <-changes:
			l.update(u, time.Now())
		case e := <-messages:
			l.message(e, time.Now())
		case <-timer.C:
		case <-ctx.Done():
			if err := context.Cause(ctx); err != ctx.Err() { // the node stopped underneath us
				return err
			}
			return nil
		}
		timer.Reset(time.Until(l.act(time.Now())))
	}
}

// pump passes on what next returns, until it fails.
func pump[T any](ctx context.Context, next func(context.Context) (T, error), out chan<- T) error {
	for {
		v, err := next(ctx)
		if err != nil {
			return err
		}
		select {
		case out <- v:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
