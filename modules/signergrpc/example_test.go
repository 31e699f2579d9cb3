package signergrpc_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/handshake"
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

// A signer, and a program that asks it for a signature.
func ExampleListen() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	dir := must(os.MkdirTemp("", "signer"))
	defer os.RemoveAll(dir)
	at := must(signer.ParseAddress("unix://" + filepath.Join(dir, "signer.sock")))
	key := must(handshake.GenerateNodeKey())
	server := must(signergrpc.Listen(signergrpc.ServerConfig{Address: at,
		Keeper: must(signer.NewKeeper(ctx, key, signer.Default()...))}))
	running.Go(func() { _ = server.Run(ctx) })

	conn := must(signergrpc.Dial(signergrpc.ClientConfig{Address: at}))
	defer conn.Close()
	identity := signer.New(conn, signer.Config{Signer: at.String()})
	if err := identity.Wait(ctx); err != nil {
		panic(err)
	}
	challenge := make([]byte, handshake.ChallengeSize)
	signature := must(identity.Sign(ctx, handshake.SignChallenge, challenge))
	fmt.Println(key.Public().Verify(challenge, signature))
	// Output: true
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
