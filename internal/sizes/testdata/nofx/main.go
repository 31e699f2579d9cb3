// Command nofx runs a standard node without fx, to show what is in its binary.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/switchyard-p2p/switchyard"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	node, err := switchyard.New(ctx)
	if err == nil {
		err = node.Run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
