package example

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"cosmossdk.io/depinject"
	cometconfig "github.com/cometbft/cometbft/config"
	"github.com/cosmos/cosmos-sdk/client"
	clientconfig "github.com/cosmos/cosmos-sdk/client/config"
	"github.com/cosmos/cosmos-sdk/client/keys"
	"github.com/cosmos/cosmos-sdk/codec"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	"github.com/cosmos/cosmos-sdk/server"
	servercmd "github.com/cosmos/cosmos-sdk/server/cmd"
	"github.com/cosmos/cosmos-sdk/server/types"
	"github.com/cosmos/cosmos-sdk/types/module"
	auth "github.com/cosmos/cosmos-sdk/x/auth/types"
	bank "github.com/cosmos/cosmos-sdk/x/bank/client/cli"
	"github.com/cosmos/cosmos-sdk/x/genutil"
	genutilcli "github.com/cosmos/cosmos-sdk/x/genutil/client/cli"
	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"
	"github.com/spf13/cobra"
)

// AddCommands adds the commands of a node to the root of a program: the SDK's server.AddCommands, or sdk.AddCommands.
type AddCommands func(root *cobra.Command, home string, newApp types.AppCreator, export types.AppExporter,
	addStartFlags types.ModuleInitFlags)

// Main runs the program of the chain.
func Main(add AddCommands) {
	home := os.ExpandEnv(filepath.Join("$HOME", ".exampled"))
	if err := servercmd.Execute(root(home, add), "EXAMPLED", home); err != nil {
		fmt.Fprintln(os.Stderr, "ERROR:", err)
		os.Exit(1)
	}
}

// root is the program's command.
func root(home string, add AddCommands) *cobra.Command {
	var (
		modules  module.BasicManager
		registry codectypes.InterfaceRegistry
		cdc      codec.Codec
		txs      client.TxConfig
	)
	err := depinject.Inject(depinject.Configs(config(), depinject.Supply(noLogger)), &modules, &registry, &cdc, &txs)
	if err != nil {
		panic(err)
	}
	modules[genutiltypes.ModuleName] = genutil.NewAppModuleBasic(genutiltypes.DefaultMessageValidator)
	ctx := client.Context{}.WithCodec(cdc).WithInterfaceRegistry(registry).WithTxConfig(txs).WithInput(os.Stdin).
		WithAccountRetriever(auth.AccountRetriever{}).WithHomeDir(home).WithViper("")
	cmd := &cobra.Command{Use: "exampled", Short: "A Cosmos SDK chain on Switchyard", SilenceErrors: true,
		SilenceUsage: true}
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		ctx, err := client.ReadPersistentCommandFlags(ctx.WithCmdContext(cmd.Context()), cmd.Flags())
		if err != nil {
			return err
		}
		if ctx, err = clientconfig.ReadFromClientConfig(ctx); err != nil {
			return err
		}
		if err := client.SetCmdClientContextHandler(ctx, cmd); err != nil {
			return err
		}
		return server.InterceptConfigsPreRunHandler(cmd, "", nil, cometConfig())
	}
	tx := &cobra.Command{Use: "tx", Short: "Transactions"}
	tx.AddCommand(bank.NewTxCmd(txs.SigningContext().AddressCodec()))
	cmd.AddCommand(genutilcli.InitCmd(modules, home), genutilcli.Commands(txs, modules, home), keys.Commands(), tx)
	add(cmd, home, newApp, export, func(*cobra.Command) {})
	return cmd
}

// cometConfig is what config.toml says at first.
func cometConfig() *cometconfig.Config {
	c := cometconfig.DefaultConfig()
	c.Consensus.TimeoutCommit = 500 * time.Millisecond // the SDK's own default is 5 seconds
	return c
}
