//go:build !cometbft038

package sdk

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"cosmossdk.io/log/v2"
	"cosmossdk.io/log/v2/slog"
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/server"
	"github.com/cosmos/cosmos-sdk/server/types"
	"github.com/cosmos/cosmos-sdk/telemetry"
	"go.opentelemetry.io/contrib/bridges/otelslog"
)

// telemetryGrace is how long the end waits for OpenTelemetry to send the rest.
const telemetryGrace = 5 * time.Second

// openApp makes the application over its database, after OpenTelemetry, which it logs to. It returns what closes both.
func openApp(svrCtx *server.Context, clientCtx client.Context, newApp types.AppCreator, opts server.StartCmdOptions) (
	types.Application, func(), error) {
	err := telemetry.InitializeOpenTelemetry(filepath.Join(clientCtx.HomeDir, "config", telemetry.OtelFileName))
	if err != nil {
		return nil, nil, fmt.Errorf("OpenTelemetry: %w", err)
	}
	if telemetry.IsOtelLoggerEnabled() {
		svrCtx.Logger = log.NewMultiLogger(svrCtx.Logger, slog.NewCustomLogger(otelslog.NewLogger("")))
	}
	db, err := opts.DBOpener(svrCtx.Config.RootDir, server.GetAppDBBackend(svrCtx.Viper))
	if err != nil {
		return nil, nil, err
	}
	app := newApp(svrCtx.Logger, db, svrCtx.Viper)
	return app, func() {
		ctx, cancel := context.WithTimeout(context.Background(), telemetryGrace)
		defer cancel()
		if err := telemetry.Shutdown(ctx); err != nil {
			svrCtx.Logger.Error("stopping OpenTelemetry", "err", err)
		}
		closeApp(svrCtx, app)
	}, nil
}
