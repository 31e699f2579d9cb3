package node

import (
	"context"
	"log/slog"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/echo"
)

// serve gives the node its services, and returns what runs them.
func serve(h *host.Host, logger *slog.Logger) ([]func(context.Context) error, error) {
	e, err := echo.New(echo.Config{}, h.OpenChannel, logger)
	if err != nil {
		return nil, err
	}
	return []func(context.Context) error{e.Run}, e.HandleStreams(h.HandleStream)
}
