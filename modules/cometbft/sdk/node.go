package sdk

import (
	"context"
	"fmt"

	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
	comet "github.com/cometbft/cometbft/types"
	"github.com/cosmos/cosmos-sdk/server"
	serverlog "github.com/cosmos/cosmos-sdk/server/log"
	"github.com/cosmos/cosmos-sdk/server/types"
	genutil "github.com/cosmos/cosmos-sdk/x/genutil/types"

	"github.com/switchyard-p2p/switchyard/modules/cometbft"
)

// startNode starts a node on Switchyard, as config.toml says, for an application of this program. If Switchyard fails
// later, the node stops, and failed gets the error.
func startNode(ctx context.Context, svrCtx *server.Context, app types.Application, o cometbft.Options,
	failed chan<- error) (*node.Node, error) {
	cfg := svrCtx.Config
	key, err := p2p.LoadOrGenNodeKey(cfg.NodeKeyFile())
	if err != nil {
		return nil, fmt.Errorf("the node key: %w", err)
	}
	o.NodeKey = key
	more := o.Failed
	o.Failed = func(err error) { // it is called once
		if more != nil {
			more(err)
		}
		failed <- err // it has room for one
	}
	genesis := func() (*comet.GenesisDoc, error) {
		doc, err := genutil.AppGenesisFromFile(cfg.GenesisFile())
		if err != nil {
			return nil, err
		}
		return doc.ToGenesisDoc()
	}
	n, err := node.NewNodeWithContext(ctx, cfg,
		privval.LoadOrGenFilePV(cfg.PrivValidatorKeyFile(), cfg.PrivValidatorStateFile()), key,
		proxy.NewLocalClientCreator(server.NewCometABCIWrapper(app)), genesis, config.DefaultDBProvider,
		node.DefaultMetricsProvider(cfg.Instrumentation), serverlog.CometLoggerWrapper{Logger: svrCtx.Logger},
		cometbft.Option(o))
	if err != nil {
		return nil, fmt.Errorf("making the node: %w", err)
	}
	if err := n.Start(); err != nil {
		return nil, fmt.Errorf("starting the node: %w", err)
	}
	return n, nil
}
