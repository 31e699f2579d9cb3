// Package relay spreads items among peers: whole byte strings that are named by their SHA-256. Each relay has a topic
// and a channel of its own.
//
// A node that has an item announces its size and id to the peers that are not known to have it, and a peer that lacks
// the item requests it from one announcer. Only the publisher of an item of up to 4 KiB sends it unasked. So a body
// crosses about one link a node, and the other links carry 34 bytes each.
//
// # Protocol
//
// The messages are those of internal/relaypb. A peer answers requests in their order, with the item or with the word
// that it is missing. At most 64 requests and 1 MiB of announced sizes, or one item, are in flight per peer. An answer
// has 2 s, and a second more for each MiB that the peer owes; then another announcer is asked, and none twice for one
// announcement. An announcer is chosen at random among those with room, outbound peers first. A request without an
// answer goes on taking room of its peer, so silence costs the silent peer alone; a late answer is welcome.
//
// Announcements leave at once when the peer's send queue takes them, and are gathered while it is full. On comet, where
// a lone one fills a frame of 1,044 bytes, they are gathered for up to 10 ms.
//
// What a peer costs is bounded: 16,384 ids that it is known to have, 4,096 announcements that wait, 64 items or 1 MiB
// that wait for Validate. Sending what nobody requested, or another size than announced, is reported against a peer;
// another item than requested, and empty, oversized and malformed messages end the link.
//
// A peer that comes up is offered all items that we keep, in portions for which it asks (More); so is one that was too
// slow to be told of them, and one that had to cut announcements.
//
// # Implementation
//
// machine is the whole protocol as a state machine without a goroutine and a clock. A Relay owns one, under a mutex,
// and moves messages between it and the channel.
//
// The relay does not use host.Requests: its answers name their requests by their order and prove themselves by their
// hash. So an item is encoded once for all peers, without a number of each peer's request, an answer of 64 items is one
// message, and no request has a goroutine.
package relay

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/relaypb"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

var (
	// ErrStopped reports that the relay has stopped, or that a subscription is closed.
	ErrStopped = errors.New("the relay has stopped")
	// ErrPassing marks an error of Validate that will pass: the item is neither accepted nor refused for good.
	ErrPassing = errors.New("the item cannot be judged now")
)

// SizeError reports an item that cannot be published.
type SizeError struct{ Size, Most int }

func (e *SizeError) Error() string {
	return fmt.Sprintf("an item of %d bytes: the topic takes 1 to %d", e.Size, e.Most)
}

// Config is what a relay needs. A zero field means its default.
type Config struct {
	Topic   string // a-z, 0-9, - and _; "" means "items"
	Channel byte   // on MConn; 0 means 0x7d
	// MaxItem is the longest item in bytes. All nodes of a topic need the same: a peer that announces a longer one is
	// disconnected. 0 means 1 MiB.
	MaxItem int
	Keep    int64 // bytes of items kept to serve peers, the newest 16,384 at most; 0 means 64 MiB

	// Validate decides whether an item is accepted: delivered, kept and relayed. It is called concurrently, beside the
	// reading of messages, and once an item unless that fails with ErrPassing: then the item may come again. After
	// another error the item is refused for good, and reported against the peer that brought it. ctx ends with Run. nil
	// accepts everything.
	Validate   func(ctx context.Context, from transport.NodeID, item []byte) error
	Validators int // calls of Validate at once; 0 means the number of processors
	Priority   int // of the channel; 0 means 1
	SendQueue  int // bytes that wait for one peer; 0 means 256 KiB
}

func (c Config) withDefaults() Config {
	if c.Topic == "" {
		c.Topic = "items"
	}
	if c.Channel == 0 {
		c.Channel = 0x7d
	}
	if c.MaxItem == 0 {
		c.MaxItem = 1 << 20
	}
	if c.Keep == 0 {
		c.Keep = 64 << 20
	}
	if c.Validators == 0 {
		c.Validators = runtime.GOMAXPROCS(0)
	}
	if c.SendQueue == 0 {
		c.SendQueue = 256 << 10
	}
	return c
}

// maxMaxItem leaves room for the channel's own bound.
const maxMaxItem = 256 << 20

// check returns what is wrong with a Config that has its defaults.
func (c Config) check() error {
	for i := range len(c.Topic) {
		if b := c.Topic[i]; (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '-' && b != '_' || len(c.Topic) > 64 {
			return fmt.Errorf("relay: topic %.70q: want up to 64 of a-z, 0-9, - and _", c.Topic)
		}
	}
	switch {
	case c.MaxItem < 1 || c.MaxItem > maxMaxItem:
		return fmt.Errorf("relay: topic %s: MaxItem %d is not in 1 to %d", c.Topic, c.MaxItem, maxMaxItem)
	case c.Keep < 1:
		return fmt.Errorf("relay: topic %s: Keep %d is negative", c.Topic, c.Keep)
	case c.Validators < 1:
		return fmt.Errorf("relay: topic %s: Validators %d is negative", c.Topic, c.Validators)
	}
	return nil
}

// channel describes the relay's channel.
func (c Config) channel() muxer.Channel {
	longest := max(c.MaxItem, batchBytes+maxPush, maxAnnounced*(len(ID{})+5)) +
		relaypb.MaxRequested*relaypb.ItemOverhead
	return muxer.Channel{ID: c.Channel, Name: "/relay/" + c.Topic + "/1.0.0", Priority: c.Priority, MaxMessage: longest,
		SendQueue: c.SendQueue, ReceiveQueue: 2 * maxFlying}
}

// Relay is one topic. Its methods may be called concurrently, Run once.
type Relay struct {
	cfg  Config
	host *host.Host
	ch   *host.Channel
	log  *slog.Logger
	wake chan struct{} // capacity 1: run has something to do

	mu         sync.Mutex
	m          *machine
	peerings   map[uint64]*host.Peering
	byID       map[transport.NodeID]*host.Peering // the latest one of each peer
	subs       subscriptions
	blocked    []blockedSend // that run is to send
	unjudged   []effect      // that run is to have judged
	validating int           // goroutines
	armed      int64         // when run wakes by itself, Unix nanoseconds; 0: not
	fresh      int           // items published since the last flush
	stopped    bool
}

// blockedSend is a message that its peer's send queue did not take.
type blockedSend struct {
	to  *host.Peering
	msg []byte
}

// New opens the relay's channel and adds a hook for peers (Host.OnPeer): that works only before the host runs. A nil
// logger discards.
func New(cfg Config, h *host.Host, logger *slog.Logger) (*Relay, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	ch, err := h.OpenChannel(cfg.channel())
	if err != nil {
		return nil, fmt.Errorf("relay: topic %s: %w", cfg.Topic, err)
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	r := &Relay{
		cfg: cfg, host: h, ch: ch, log: logger.With(slog.String("topic", cfg.Topic)), wake: make(chan struct{}, 1),
		m:        newMachine(cfg, maphash.MakeSeed(), rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))),
		peerings: map[uint64]*host.Peering{}, byID: map[transport.NodeID]*host.Peering{},
		subs: subscriptions{open: map[*Subscription]struct{}{}},
	}
	if err := h.OnPeer(r.peerUp); err != nil {
		return nil, fmt.Errorf("relay: topic %s: %w", cfg.Topic, err)
	}
	return r, nil
}

// Topic returns the relay's topic.
func (r *Relay) Topic() string { return r.cfg.Topic }

// MaxItem returns the longest item in bytes.
func (r *Relay) MaxItem() int { return r.cfg.MaxItem }

// Item returns an item that is kept. Do not change it.
func (r *Relay) Item(id ID) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	it := r.m.shelf.items[r.m.key(id)]
	if it == nil {
		return nil, false
	}
	return it.body, true
}

// Receipt is what became of a published item.
type Receipt struct {
	ID ID
	// Known says that the relay has had the item before: it was not published again.
	Known bool
	// Peers are those that get it, or its announcement, without waiting for earlier messages; those whose queue is full
	// get the announcement later. 0 says that nobody hears of it now: there is no peer, all know it, or all are busy.
	Peers int

	fetched chan struct{}
}

// Fetched is closed when the body has gone to a peer for the first time.
func (r *Receipt) Fetched() <-chan struct{} { return r.fetched }

// maxFresh bounds the items that wait for run to send them.
const maxFresh = 64

// Publish gives an item to the relay, which keeps it: do not change it afterwards. Errors: a *SizeError, what Validate
// says of it, ErrStopped. It does not wait for peers: see Receipt.
func (r *Relay) Publish(ctx context.Context, item []byte) (*Receipt, error) {
	if len(item) == 0 || len(item) > r.cfg.MaxItem {
		return nil, &SizeError{len(item), r.cfg.MaxItem}
	}
	if r.cfg.Validate != nil {
		if err := r.cfg.Validate(ctx, r.host.Self(), item); err != nil {
			return nil, err
		}
	}
	receipt := &Receipt{ID: IDOf(item), fetched: make(chan struct{})}
	r.mu.Lock()
	if r.stopped {
		r.mu.Unlock()
		return nil, ErrStopped
	}
	it, n := r.m.publish(receipt.ID, item)
	if receipt.Known, receipt.Peers = it == nil, n; it != nil {
		it.receipt = receipt
		r.fresh++
	}
	full := r.fresh >= maxFresh
	r.unlock()
	if full {
		r.flush()
	} else {
		r.signal()
	}
	return receipt, nil
}

// signal wakes run.
func (r *Relay) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// deed is what a peer has done.
type deed struct {
	by   transport.NodeID
	what host.Behaviour
}

// unlock does what the machine's effects say, and unlocks mu, as reports are not made under it.
func (r *Relay) unlock() {
	effects := r.m.takeEffects()
	var deeds []deed
	var wake bool
	for i := range effects {
		switch e := &effects[i]; e.kind {
		case deliver:
			r.deliver(e)
		case judge:
			r.unjudged = append(r.unjudged, *e)
			wake = wake || r.validating < r.cfg.Validators
		case fetched:
			close(e.item.receipt.fetched)
		case report:
			deeds = append(deeds, deed{e.from, e.deed})
		}
	}
	r.mu.Unlock()
	if wake {
		r.signal()
	}
	for _, d := range deeds {
		r.host.Report(d.by, d.what)
	}
}

// deliver gives an accepted item to the subscribers. mu is held.
func (r *Relay) deliver(e *effect) {
	if len(r.subs.open) == 0 {
		return
	}
	d := Delivery{ID: e.item.id, Item: e.item.body, From: e.from}
	if d.From == "" {
		d.From = r.host.Self()
	}
	for s := range r.subs.open {
		if s.push(d) {
			r.subs.missed++
		}
	}
}

// flush sends what there is to be sent.
func (r *Relay) flush() {
	now := time.Now().UnixNano()
	r.mu.Lock()
	r.fresh = 0
	r.m.begin(now)
	for p := r.m.nextPeer(); p != nil; p = r.m.nextPeer() {
		to := r.peerings[p.num]
		if p.frugal && now-p.checked > int64(time.Second) { // its link may have moved to QUIC
			p.frugal, p.checked = to.Info().Wire == transport.WireComet, now
		}
		for msg := r.m.next(p, now); msg != nil; msg = r.m.next(p, now) {
			if !to.TrySend(r.ch, msg) {
				p.full()
				r.blocked = append(r.blocked, blockedSend{to, msg})
				break
			}
		}
	}
	due, ok := r.m.due()
	wake := len(r.blocked) > 0 || ok && (r.armed == 0 || due < r.armed)
	r.unlock()
	if wake {
		r.signal()
	}
}
