package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The pause after a failure, which doubles from one to the next.
const (
	minPause = time.Second
	maxPause = time.Minute
	// settled is how long a source must have run for its failure not to be a failure to start.
	settled = time.Second
)

// Run runs a source for a host until ctx ends. name is the source's name in the peer store. A failure within the first
// second is returned; after a later one the source runs again, after a pause. A source that returns nil is done.
func Run(ctx context.Context, name string, s Source, h *host.Host, log *slog.Logger) error {
	found := func(a transport.Address, from transport.NodeID) {
		h.PeerManager().Add(a, peerstore.Source{Kind: name, From: from})
	}
	pause := minPause
	for first := true; ; first = false {
		began := time.Now()
		err := s.Run(ctx, h, found)
		ran := time.Since(began)
		switch {
		case ctx.Err() != nil, err == nil, errors.Is(err, host.ErrStopped):
			return nil
		case first && ran < settled:
			return fmt.Errorf("discovery source: %w", err)
		case ran > maxPause:
			pause = minPause
		}
		log.Warn("the source failed and runs again after a pause", slog.Any("error", err),
			slog.Duration("pause", pause))
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		pause = min(2*pause, maxPause)
	}
}
