package node

import (
	"context"
	"io"
	"log/slog"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// serve gives the node its services, and returns what runs them.
func serve(h *host.Host, _ *slog.Logger) ([]func(context.Context) error, error) {
	return nil, h.HandleStream(Echo, func(_ context.Context, _ transport.NodeID, s muxer.Stream) {
		if _, err := io.Copy(s, s); err != nil {
			_ = s.Reset(muxer.CodeUnknown)
		}
	})
}
