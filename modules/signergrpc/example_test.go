package signergrpc_test

import (
	"context"
	"log/slog"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
	"github.com/switchyard-p2p/switchyard/modules/signergrpc"
)

// A node of package switchyard whose key is in a signer.
func Example() {
	run := func(ctx context.Context, log *slog.Logger) error {
		at, err := signer.ParseAddress("unix:///run/switchyard-signer/signer.sock")
		if err != nil {
			return err
		}
		conn, err := signergrpc.Dial(signergrpc.ClientConfig{Address: at, Logger: log})
		if err != nil {
			return err
		}
		defer conn.Close()
		key := signer.New(conn, signer.Config{Signer: at.String(), Logger: log})
		if err := key.Wait(ctx); err != nil { // the signer may be late
			return err
		}
		node, err := switchyard.New(ctx, switchyard.Identity(key), switchyard.Logger(log))
		if err != nil {
			return err
		}
		return node.Run(ctx)
	}
	_ = run
}
