package sdk

import (
	"context"
	"strconv"

	"github.com/cometbft/cometbft/cmd/cometbft/commands"
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/server"
	"github.com/cosmos/cosmos-sdk/server/types"
	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/modules/cometbft"
	"github.com/switchyard-p2p/switchyard/modules/cometbft/internal/reset"
)

// AddCommands does what the SDK's server.AddCommands does, but the node of the start command runs on Switchyard, and
// unsafe-reset-all --keep-addr-book keeps Switchyard's peers, too.
func AddCommands(root *cobra.Command, home string, newApp types.AppCreator, export types.AppExporter,
	addStartFlags types.ModuleInitFlags) {
	server.AddCommands(root, home, newApp, export, func(*cobra.Command) {})
	for _, c := range root.Commands() {
		if c.Name() == "start" {
			root.RemoveCommand(c)
		}
	}
	reset.Peers(commands.ResetAllCmd) // of the SDK's comet command
	start := server.StartCmdWithOptions(newApp, home, StartCmdOptions(server.StartCmdOptions{}, cometbft.Options{}))
	addStartFlags(start)
	root.AddCommand(start)
}

// StartCmdOptions returns options with a StartCommandHandler whose node runs on Switchyard. The node key is that of the
// home, whatever node says. If Switchyard fails, the start command ends with its error.
//
// Without a CometBFT node of the program's own (--with-comet=false, --grpc-only) and for in-place-testnet, the handler
// calls that of opts, or the SDK's own.
func StartCmdOptions(opts server.StartCmdOptions, node cometbft.Options) server.StartCmdOptions {
	other := opts.StartCommandHandler
	if other == nil {
		other = stock
	}
	opts.StartCommandHandler = func(svrCtx *server.Context, clientCtx client.Context, newApp types.AppCreator,
		withComet bool, opts server.StartCmdOptions) error {
		if withComet && !svrCtx.Viper.GetBool("grpc-only") && !svrCtx.Viper.GetBool(server.KeyIsTestnet) {
			return start(svrCtx, clientCtx, newApp, opts, node)
		}
		return other(svrCtx, clientCtx, newApp, withComet, opts)
	}
	return opts
}

// stock calls the SDK's own handler. That is not exported, but a start command without another has it.
func stock(svrCtx *server.Context, clientCtx client.Context, newApp types.AppCreator, withComet bool,
	opts server.StartCmdOptions) error {
	opts.StartCommandHandler = nil
	opts.AddFlags = nil // the chain's flags have been read
	cmd := server.StartCmdWithOptions(newApp, clientCtx.HomeDir, opts)
	if err := cmd.Flags().Set("with-comet", strconv.FormatBool(withComet)); err != nil {
		return err
	}
	svrCtx.Viper.Set("cpu-profile", "") // the outer command writes it
	ctx := context.WithValue(context.Background(), server.ServerContextKey, svrCtx)
	cmd.SetContext(context.WithValue(ctx, client.ClientContextKey, &clientCtx))
	return cmd.RunE(cmd, nil)
}
