// Command program runs a host as libp2p.New makes it, with its peers on disk and its metrics over HTTP, to see what is
// in its binary.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"

	leveldb "github.com/ipfs/go-ds-leveldb"
	"github.com/libp2p/go-libp2p"
	//lint:ignore SA1019 deprecated, but what go-libp2p has for the disk
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoreds"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	data, err := leveldb.NewDatastore("peers", nil)
	if err != nil {
		return err
	}
	defer data.Close()
	peers, err := pstoreds.NewPeerstore(ctx, data, pstoreds.DefaultOpts())
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	h, err := libp2p.New(libp2p.Peerstore(peers), libp2p.PrometheusRegisterer(registry))
	if err != nil {
		return err
	}
	defer h.Close()
	fmt.Println(h.ID(), h.Addrs())
	server := &http.Server{Addr: "127.0.0.1:9090", Handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{})}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return nil
}
