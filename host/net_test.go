package host_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
)

// inNet runs fn in a bubble of its own with a network. SWITCHYARD_LOG=1 shows what its nodes log.
func inNet(t *testing.T, o hosttest.Options, fn func(t *testing.T, net *hosttest.Network)) {
	t.Helper()
	if os.Getenv("SWITCHYARD_LOG") != "" {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	synctest.Test(t, func(t *testing.T) { fn(t, hosttest.New(t, o)) })
}

// withPEX lets nodes find each other.
func withPEX(n *hosttest.Node) ([]hosttest.Service, error) {
	src, err := pex.New(pex.Config{}, discovery.Env{OpenChannel: n.Host.OpenChannel})
	return []hosttest.Service{func(ctx context.Context) error { return src.Run(ctx, n.Host, n.Found("pex")) }}, err
}
