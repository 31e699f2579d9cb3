package example

import (
	"errors"

	"cosmossdk.io/depinject"
	"github.com/cosmos/cosmos-sdk/runtime"
	"github.com/cosmos/cosmos-sdk/server/types"
	"github.com/cosmos/cosmos-sdk/testutil/configurator"
	_ "github.com/cosmos/cosmos-sdk/x/auth" // a module registers itself
	_ "github.com/cosmos/cosmos-sdk/x/auth/tx/config"
	_ "github.com/cosmos/cosmos-sdk/x/bank"
	_ "github.com/cosmos/cosmos-sdk/x/consensus"
	_ "github.com/cosmos/cosmos-sdk/x/genutil"
	_ "github.com/cosmos/cosmos-sdk/x/staking"
)

// config lists the modules of the chain.
func config() depinject.Config {
	return configurator.NewAppConfig(configurator.AuthModule(), configurator.BankModule(),
		configurator.ConsensusModule(), configurator.GenutilModule(), configurator.StakingModule(),
		configurator.TxModule())
}

// newBuilder returns what builds an application that logs to logger.
func newBuilder(logger logger) *runtime.AppBuilder {
	var b *runtime.AppBuilder
	if err := depinject.Inject(depinject.Configs(config(), depinject.Supply(logger)), &b); err != nil {
		panic(err)
	}
	return b
}

// load loads the latest state of an application.
func load(app *runtime.App) types.Application {
	if err := app.Load(true); err != nil {
		panic(err)
	}
	return app
}

// errNoExport is what the export command says.
var errNoExport = errors.New("the example has no export")
