package golibp2p

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corehost "github.com/libp2p/go-libp2p/core/host"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
)

// NewHost makes a node and runs it until Close of the host that it returns: the whole thing for a program that called
// libp2p.New. It speaks libp2p's wire over TCP and QUIC, and returns when it listens. ctx bounds NewHost alone.
func NewHost(ctx context.Context, cfg Config) (corehost.Host, error) {
	a, err := newNode(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("golibp2p: %w", err)
	}
	return a, nil
}

func newNode(ctx context.Context, cfg Config) (*adapter, error) {
	if err := cfg.identity(); err != nil {
		return nil, err
	}
	settings, proofs, err := cfg.host()
	if err != nil {
		return nil, err
	}
	store := settings.Store
	if store == nil {
		store = memory.New(peerstore.Limits{MaxPeers: mostKnown})
		settings.Store = store
	}
	h, err := host.New(ctx, settings)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	opts := append([]Option{Identity(cfg.Identity), PrivateKey(cfg.Key), Logger(cfg.Logger), Gater(cfg.Gater)},
		cfg.Options...)
	a, err := newAdapter(h, opts)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	n := newRunning(h, store, proofs, cfg.Identity)
	a.below = n.stop
	if err := h.WaitListening(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	<-a.announced
	return a, nil
}

// running is what runs beneath a host of NewHost.
type running struct {
	wg     sync.WaitGroup
	cancel context.CancelFunc // ends the host
	after  context.CancelFunc // ends what the host needs to the end
	store  peerstore.Store
	err    error // of the host's Run
}

func newRunning(h *host.Host, store peerstore.Store, proofs []handshake.Security, id handshake.Identity) *running {
	n := &running{store: store}
	under, after := context.WithCancel(context.Background())
	ctx, cancel := context.WithCancel(context.Background())
	n.after, n.cancel = after, cancel
	n.wg.Go(func() { _ = store.Run(under) })
	for _, s := range proofs {
		n.wg.Go(func() { s.Keep(ctx, id) })
	}
	n.wg.Go(func() {
		defer after() // what is left of the host's work has been done
		n.err = h.Run(ctx)
	})
	return n
}

// stop ends the host and waits for it.
func (n *running) stop() error {
	n.cancel()
	n.wg.Wait()
	return errors.Join(n.err, n.store.Close())
}
