//go:build cometbft1

package main

import (
	"context"

	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/libs/log"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
	"github.com/spf13/cobra"
)

// newNode makes the node of the start command.
func newNode(cfg *config.Config, logger log.Logger, params node.CliParams,
	newKey func() (crypto.PrivKey, error)) (*node.Node, error) {
	key, err := p2p.LoadOrGenNodeKey(cfg.NodeKeyFile())
	if err != nil {
		return nil, err
	}
	validator, err := privval.LoadOrGenFilePV(cfg.PrivValidatorKeyFile(), cfg.PrivValidatorStateFile(), newKey)
	if err != nil {
		return nil, err
	}
	return node.NewNodeWithCliParams(context.Background(), cfg, validator, key,
		proxy.DefaultClientCreator(cfg.ProxyApp, cfg.ABCI, cfg.DBDir()), node.DefaultGenesisDocProviderFunc(cfg),
		config.DefaultDBProvider, node.DefaultMetricsProvider(cfg.Instrumentation), logger, params, options(key)...)
}

// older are the commands that CometBFT 1.0 no longer has.
func older() []*cobra.Command { return nil }
