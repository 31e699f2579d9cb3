package host

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	// maxOwnRecord bounds the addresses in our signed peer record, so that it fits beside identify's other fields.
	maxOwnRecord = 32
	// recordLook is how often the machine's own addresses are looked at, and recordRetry the wait after a signature
	// that failed. recordTime bounds one, and recordStart how long Run waits for the first.
	recordLook  = 5 * time.Minute
	recordRetry = time.Minute
	recordTime  = 10 * time.Second
	recordStart = 250 * time.Millisecond
)

// ownRecord keeps our signed peer record, which libp2p peers are told, in line with our addresses.
type ownRecord struct {
	sealed atomic.Pointer[[]byte] // nil: none now
	wake   chan struct{}          // a change of our addresses; nil: no wire of ours tells the record

	addrs []ma.Multiaddr // that sealed has; the goroutine's own, like seq
	seq   uint64
}

func (r *ownRecord) init(wires []handshake.Wire) {
	if slices.ContainsFunc(wires, func(w handshake.Wire) bool { return w.Name() == transport.WireLibp2p }) {
		r.wake = make(chan struct{}, 1)
	}
}

// changed says that our addresses may have changed.
func (r *ownRecord) changed() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// start keeps the record from now on, until ctx ends. It waits for the first one, but not for a signer that is away.
func (r *ownRecord) start(ctx context.Context, h *Host) {
	if r.wake == nil {
		return
	}
	first := make(chan struct{})
	h.tasks.wg.Go(func() {
		wait := r.renew(ctx, h)
		close(first)
		r.run(ctx, h, wait)
	})
	t := time.NewTimer(recordStart)
	defer t.Stop()
	select {
	case <-first:
	case <-t.C:
	case <-ctx.Done():
	}
}

func (r *ownRecord) run(ctx context.Context, h *Host, wait time.Duration) {
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-r.wake:
		case <-ctx.Done():
			return
		}
		before := r.sealed.Load()
		t.Reset(r.renew(ctx, h))
		if r.sealed.Load() != before {
			tellChange(h) // the record that comes with the push is the new one
		}
	}
}

// renew makes a record if our addresses are others than those of the last one. It returns when to call it again if
// nothing happens before.
func (r *ownRecord) renew(ctx context.Context, h *Host) time.Duration {
	addrs := recordAddrs(h)
	if r.sealed.Load() != nil && slices.EqualFunc(addrs, r.addrs, ma.Multiaddr.Equal) {
		return recordLook
	}
	if len(addrs) == 0 {
		r.sealed.Store(nil)
		return recordLook
	}
	seq := max(uint64(time.Now().UnixNano()), r.seq+1) // as go-libp2p counts: later runs have higher ones
	signing, cancel := context.WithTimeout(ctx, recordTime)
	defer cancel()
	sealed, err := handshake.SealPeerRecord(signing, h.cfg.Identity, seq, addrs)
	if err != nil {
		if ctx.Err() == nil {
			h.log.Debug("no signed peer record for now", slog.Any("error", err))
		}
		r.sealed.Store(nil) // the last one has other addresses
		return recordRetry
	}
	r.addrs, r.seq = addrs, seq
	r.sealed.Store(&sealed)
	return recordLook
}

// recordAddrs returns the addresses that our record has: those that we advertise, with the machine's own in place of
// unspecified ones.
func recordAddrs(h *Host) (out []ma.Multiaddr) {
	add := func(m ma.Multiaddr) {
		if len(out) < maxOwnRecord && !slices.ContainsFunc(out, m.Equal) {
			out = append(out, m)
		}
	}
	for _, m := range h.advertised() {
		if !manet.IsIPUnspecified(m) {
			add(m)
			continue
		}
		if resolved, err := manet.ResolveUnspecifiedAddresses([]ma.Multiaddr{m}, nil); err == nil {
			for _, m := range resolved {
				add(m)
			}
		}
	}
	return out
}
