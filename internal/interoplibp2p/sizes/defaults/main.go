// Command defaults runs a host as libp2p.New makes it, to see what is in its binary.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/libp2p/go-libp2p"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	h, err := libp2p.New()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer h.Close()
	fmt.Println(h.ID(), h.Addrs())
	<-ctx.Done()
}
