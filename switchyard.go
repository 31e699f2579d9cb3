package switchyard

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Channel describes a channel of messages, for Host.OpenChannel.
type Channel = muxer.Channel

// Node is a whole node. New builds it, Run works. All methods may be called concurrently.
type Node struct {
	host    *host.Host
	store   peerstore.Store
	sources []namedSource
	log     *slog.Logger
	// transports are the host's. It closes them at the end of its Run, Close those of a node that never ran.
	transports []transport.Transport
	identity   handshake.Identity
	proofs     []handshake.Security // whose proofs Run keeps fresh

	mu      sync.Mutex // guards what follows
	cancel  func()     // ends Run; nil before
	stopped bool       // by Close
	done    chan struct{}
}

type namedSource struct {
	name string
	discovery.Source
}

// Host returns the node's host: OpenChannel, HandleStream, OpenStream, Dial, Peers, Subscribe and more. Open channels
// before Run.
func (n *Node) Host() *host.Host { return n.host }

// Addresses returns where peers can dial the node, each address with the node's id. Until the host listens there are
// none. Host().WaitListening waits for that, and returns why if the host cannot listen.
func (n *Node) Addresses() []transport.Address { return n.host.SelfAddresses() }

// Run listens, dials, accepts and moves messages until ctx ends or Close is called, and then returns nil; or until a
// part fails, and then returns why. All goroutines of the node have returned by then, and the store is closed. Run runs
// once; a second call returns host.ErrStarted, one after Close host.ErrStopped.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n.mu.Lock()
	switch {
	case n.stopped:
		n.mu.Unlock()
		return host.ErrStopped
	case n.cancel != nil:
		n.mu.Unlock()
		return host.ErrStarted
	}
	n.cancel = cancel
	n.mu.Unlock()
	defer close(n.done)

	// The store outlives the host, and the host the sources of peers.
	err := under(ctx, n.store.Run, func(ctx context.Context) error {
		return under(ctx, n.host.Run, n.runSources)
	})
	return errors.Join(err, n.store.Close())
}

// runSources runs the sources of peers, and keeps the proofs of the node's key fresh, until ctx ends or one fails.
func (n *Node) runSources(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range n.sources {
		group.Go(func() error {
			return discovery.Run(ctx, s.name, s.Source, n.host, n.log.With(slog.String("part", s.name)))
		})
	}
	for _, s := range n.proofs {
		group.Go(func() error {
			s.Keep(ctx, n.identity)
			return nil
		})
	}
	group.Go(func() error { // a source may be done before the node is
		<-ctx.Done()
		return nil
	})
	return group.Wait()
}

// under runs upper until ctx ends or lower fails, and lower until upper has returned. It returns what failed.
func under(ctx context.Context, lower, upper func(context.Context) error) error {
	upperCtx, stopUpper := context.WithCancel(ctx)
	defer stopUpper()
	lowerCtx, stopLower := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLower()
	failed := make(chan error, 1)
	go func() {
		defer stopUpper()
		failed <- lower(lowerCtx)
	}()
	err := upper(upperCtx)
	stopLower()
	return errors.Join(err, <-failed)
}

// Close ends Run, waits for it, and frees what the node holds. It is needed only for a node that never ran; the end of
// Run's context does the same. It may be called again.
func (n *Node) Close() error {
	n.mu.Lock()
	running, again := n.cancel != nil, n.stopped
	n.stopped = true
	if running {
		n.cancel()
	}
	n.mu.Unlock()
	switch {
	case running:
		<-n.done
		return nil
	case again:
		return nil
	}
	err := n.store.Close()
	for _, t := range n.transports {
		err = errors.Join(err, t.Close())
	}
	return err
}
