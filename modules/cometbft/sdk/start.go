package sdk

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/cometbft/cometbft/rpc/client/local"
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/server"
	"github.com/cosmos/cosmos-sdk/server/api"
	serverconfig "github.com/cosmos/cosmos-sdk/server/config"
	"github.com/cosmos/cosmos-sdk/server/types"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-p2p/switchyard/modules/cometbft"
)

// start runs an application, its node and its servers until a signal, or until one of them fails.
func start(svrCtx *server.Context, clientCtx client.Context, newApp types.AppCreator, opts server.StartCmdOptions,
	o cometbft.Options) error {
	cfg, err := serverconfig.GetConfig(svrCtx.Viper)
	if err != nil {
		return fmt.Errorf("app.toml: %w", err)
	}
	if err := cfg.ValidateBasic(); err != nil {
		return fmt.Errorf("app.toml: %w", err)
	}
	app, closeApp, err := openApp(svrCtx, clientCtx, newApp, opts)
	if err != nil {
		return fmt.Errorf("opening the application: %w", err)
	}
	defer closeApp()
	m, err := startTelemetry(cfg)
	if err != nil {
		return fmt.Errorf("starting telemetry: %w", err)
	}

	signaled, done := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer done()
	g, ctx := errgroup.WithContext(signaled)
	failed := make(chan error, 1)
	node, err := startNode(ctx, svrCtx, app, o, failed)
	if err != nil {
		return err
	}
	defer func() {
		if node.IsRunning() {
			_ = node.Stop()
		}
		node.Wait()
	}()
	g.Go(func() error {
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			svrCtx.Logger.Info("stopping", "cause", context.Cause(ctx))
			return nil
		}
	})

	if cfg.API.Enable || cfg.GRPC.Enable {
		clientCtx = clientCtx.WithClient(local.New(node))
		app.RegisterTxService(clientCtx)
		app.RegisterTendermintService(clientCtx)
		app.RegisterNodeService(clientCtx, cfg)
	}
	if err := serve(ctx, g, svrCtx, clientCtx, cfg, app, m, opts); err != nil {
		done()
		return errors.Join(err, g.Wait())
	}
	return g.Wait()
}

// serve starts the servers beside the node. They end with ctx.
func serve(ctx context.Context, g *errgroup.Group, svrCtx *server.Context, clientCtx client.Context,
	cfg serverconfig.Config, app types.Application, m meters, opts server.StartCmdOptions) error {
	grpcServer, clientCtx, err := server.StartGrpcServer(ctx, g, cfg.GRPC, clientCtx, svrCtx, app)
	if err != nil {
		return fmt.Errorf("starting the gRPC server: %w", err)
	}
	if cfg.API.Enable {
		s := api.New(clientCtx.WithHomeDir(svrCtx.Config.RootDir), svrCtx.Logger.With("module", "api-server"),
			grpcServer)
		app.RegisterAPIRoutes(s, cfg.API)
		m.serve(s)
		g.Go(func() error { return s.Start(ctx, cfg) })
	}
	if opts.PostSetup == nil {
		return nil
	}
	return opts.PostSetup(svrCtx, clientCtx, ctx, g)
}

// closeApp closes the application.
func closeApp(svrCtx *server.Context, app types.Application) {
	if err := app.Close(); err != nil {
		svrCtx.Logger.Error("closing the application", "err", err)
	}
}
