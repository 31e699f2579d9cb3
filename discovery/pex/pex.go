// Package pex finds peers by asking the connected ones: peer exchange with CometBFT's messages on channel 0x00, or on a
// stream where the wire has streams. Switchyard nodes mark their requests and get multiaddrs of all wires in return, so
// a network may mix wires; a CometBFT node gets comet addresses only.
//
// Asking: a dialed peer is asked at once, again after a second or two (nodes that start together know no peers yet),
// then every 10 to 16 s while the node needs peers, later every half minute; without need every few minutes. CometBFT
// bans a peer that asks more often than two free requests and then one in 10 s (p2p/pex/pex_reactor.go,
// receiveRequest), so one request is open at a time, intervals count from the last answer, and a peer whose link broke
// and came back is asked after a whole interval.
//
// Answering: by the same rule, but for the peer's whole link, so that requests that waited while this node was stalled
// are no fault. An answer has at most 100 addresses that the node allows to advertise.
//
// Taking: only answers to its own requests, at most 250 addresses of one, 1,000 from a peer at once and 1,000 an hour
// after that. Addresses that cannot be right are dropped: names, port 0, our own, private ones from a public peer, many
// at one IP. Misbehaviour costs points, and the third offence ends the link. No name is ever resolved on behalf of a
// remote.
//
// A newcomer that finds all inbound slots taken is answered once, too, before it is refused (host.Channel,
// AnswerVisitors), so that those that know no other node do not stay alone.
//
// A seed answers the peers that dial it once and hangs up, and asks every peer it meets.
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
	// maxAnswer bounds the addresses of an answer that we send.
	maxAnswer = 100
	// maxTaken bounds the addresses that we read from an answer. CometBFT sends up to 250 (p2p/pex/params.go,
	// maxGetSelection).
	maxTaken = 250
	// maxWaiting bounds the answers that wait while the node is busy with earlier ones; more are dropped.
	maxWaiting = 32
	// needCheck is how often we ask the node whether it needs peers.
	needCheck = 5 * time.Second
)

// Config holds the source's settings. The zero Config is an ordinary node.
type Config struct {
	// Seed makes the node a seed: it asks every peer, answers those that ask, and hangs up to free its slots.
	Seed bool `toml:"seed"`
}

// Default returns the settings of an ordinary node.
func Default() Config { return Config{} }

// New opens the channel and builds the source.
func New(cfg Config, env discovery.Env) (discovery.Source, error) {
	ch, err := env.OpenChannel(muxer.Channel{
		ID: ChannelID, Name: "/pex/1.0.0", Priority: 1, MaxMessage: maxMessage,
		// An honest peer sends few messages at once. A flood is dropped before it costs anything.
		SendQueue: 2 * maxMessage, ReceiveQueue: 2 * maxMessage, Overflow: muxer.Drop,
	})
	if err != nil {
		return nil, fmt.Errorf("discovery pex: %w", err)
	}
	return newSource(cfg, ch, env.Logger), nil
}

// lane is the part of *host.Channel that the source uses.
type lane interface {
	TrySend(to transport.NodeID, msg []byte) bool
	Receive(ctx context.Context) (host.Envelope, error)
	AnswerVisitors(fn func(from host.PeerInfo, msg []byte) []byte)
}

// updates is the part of *host.Subscription that the source uses.
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

// run starts the three goroutines that wait (for updates, for messages, for the node to take addresses) and loops. The
// loop goroutine owns all state.
func (s *source) run(ctx context.Context, n node, sub updates, found func(transport.Address, transport.NodeID)) error {
	ctx, stop := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop(nil)
	defer sub.Close()

	s.ch.AnswerVisitors(func(from host.PeerInfo, msg []byte) []byte { return answerVisitor(n, from, msg) })
	defer s.ch.AnswerVisitors(nil)
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
		peers: make(map[transport.NodeID]*peer), gone: make(map[transport.NodeID]gonePeer), quota: newQuota(),
		request: pexpb.EncodeRequest(),
		jitter:  func(d time.Duration) time.Duration { return rand.N(d) },
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

// pump sends what next returns to out, until next fails.
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
