//go:build cometbft1

package cometbft

import (
	"context"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/proxy"
)

type queryResponse = abci.QueryResponse

func newTestNode(n *testNode, app proxy.ClientCreator, logger log.Logger, options ...node.Option) (*node.Node, error) {
	return node.NewNode(context.Background(), n.cfg, n.pv, n.key, app, node.DefaultGenesisDocProviderFunc(n.cfg),
		n.database, node.DefaultMetricsProvider(n.cfg.Instrumentation), logger, options...)
}

// chunkMessage is the name of a chunk of a snapshot.
const chunkMessage = "cometbft.statesync.v1.ChunkResponse"

func noGRPC(cfg *config.Config) { cfg.GRPC.ListenAddress, cfg.GRPC.Privileged.ListenAddress = "", "" }
