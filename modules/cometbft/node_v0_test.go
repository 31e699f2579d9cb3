//go:build !cometbft1

package cometbft

import (
	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/proxy"
)

type queryResponse = abci.ResponseQuery

func newTestNode(n *testNode, app proxy.ClientCreator, logger log.Logger, options ...node.Option) (*node.Node, error) {
	return node.NewNode(n.cfg, n.pv, n.key, app, node.DefaultGenesisDocProviderFunc(n.cfg), n.database,
		node.DefaultMetricsProvider(n.cfg.Instrumentation), logger, options...)
}

// chunkMessage is the name of a chunk of a snapshot.
const chunkMessage = "tendermint.statesync.ChunkResponse"

func noGRPC(cfg *config.Config) { cfg.RPC.GRPCListenAddress = "" }
