//go:build cometbft038

package sdk

import (
	"io"
	"os"

	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/server"
	"github.com/cosmos/cosmos-sdk/server/types"
)

// openApp makes the application over its database, which writes to the file of --trace-store. It returns what closes
// both.
func openApp(svrCtx *server.Context, _ client.Context, newApp types.AppCreator, opts server.StartCmdOptions) (
	types.Application, func(), error) {
	var (
		trace *os.File
		w     io.Writer // nil without a file
		err   error
	)
	if name := svrCtx.Viper.GetString("trace-store"); name != "" {
		if trace, err = os.OpenFile(name, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600); err != nil {
			return nil, nil, err
		}
		w = trace
	}
	db, err := opts.DBOpener(svrCtx.Config.RootDir, server.GetAppDBBackend(svrCtx.Viper))
	if err != nil {
		return nil, nil, err
	}
	app := newApp(svrCtx.Logger, db, w, svrCtx.Viper)
	return app, func() {
		closeApp(svrCtx, app)
		if trace != nil {
			if err := trace.Close(); err != nil {
				svrCtx.Logger.Error("closing the file of --trace-store", "err", err)
			}
		}
	}, nil
}
