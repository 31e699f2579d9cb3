//go:build cometbft1

package cometbft

import (
	"context"

	abci "github.com/cometbft/cometbft/abci/types"
	ssproto "github.com/cometbft/cometbft/api/cometbft/statesync/v1"
	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cosmos/gogoproto/proto"
)

type queryResponse = abci.QueryResponse

func newTestNode(n *testNode, app proxy.ClientCreator, logger log.Logger, options ...node.Option) (*node.Node, error) {
	return node.NewNode(context.Background(), n.cfg, n.pv, n.key, app, node.DefaultGenesisDocProviderFunc(n.cfg),
		n.database, node.DefaultMetricsProvider(n.cfg.Instrumentation), logger, options...)
}

// chunkOf returns a chunk of a snapshot.
func chunkOf(size int) proto.Message {
	return &ssproto.ChunkResponse{Height: 1, Chunk: make([]byte, size)}
}

func noGRPC(cfg *config.Config) { cfg.GRPC.ListenAddress, cfg.GRPC.Privileged.ListenAddress = "", "" }
