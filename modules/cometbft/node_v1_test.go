//go:build cometbft1

package cometbft

import (
	"context"

	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
)

func newTestNode(cfg *config.Config, pv *privval.FilePV, key *p2p.NodeKey, app proxy.ClientCreator, logger log.Logger,
	options ...node.Option) (*node.Node, error) {
	return node.NewNode(context.Background(), cfg, pv, key, app, node.DefaultGenesisDocProviderFunc(cfg),
		config.DefaultDBProvider, node.DefaultMetricsProvider(cfg.Instrumentation), logger, options...)
}

func noGRPC(cfg *config.Config) { cfg.GRPC.ListenAddress, cfg.GRPC.Privileged.ListenAddress = "", "" }
