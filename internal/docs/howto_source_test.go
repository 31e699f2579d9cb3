package docs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/transport"
)

// RegistryConfig is what the table of the source may say.
type RegistryConfig struct {
	URL   string        // url: answers with one address a line
	Every time.Duration // every
}

func registryDefaults() RegistryConfig { return RegistryConfig{Every: time.Minute} }

// registry asks a web server for addresses.
type registry struct {
	cfg RegistryConfig
	log *slog.Logger
}

func newRegistry(cfg RegistryConfig, env discovery.Env) (discovery.Source, error) {
	switch {
	case cfg.URL == "":
		return nil, errors.New("url: it is missing")
	case cfg.Every < time.Second:
		return nil, fmt.Errorf("every: want 1s or more, got %v", cfg.Every)
	}
	return &registry{cfg, env.Logger}, nil
}

// Run implements discovery.Source.
func (r *registry) Run(ctx context.Context, _ discovery.Network,
	found func(transport.Address, transport.NodeID)) error {
	tick := time.NewTicker(r.cfg.Every)
	defer tick.Stop()
	for {
		if err := r.ask(ctx, found); err != nil && ctx.Err() == nil {
			r.log.Warn("no addresses", slog.Any("error", err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ask reads at most 64 KiB and takes at most 10 s.
func (r *registry) ask(ctx context.Context, found func(transport.Address, transport.NodeID)) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.cfg.URL, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 64<<10))
	for lines.Scan() {
		if a, err := transport.ParseAddress(lines.Text()); err == nil && !a.Is("") {
			found(a, "") // "": no peer reported it
		}
	}
	return lines.Err()
}

// A node that finds another one by such a source.
func Example_source() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	defer http.DefaultClient.CloseIdleConnections()

	a := must(switchyard.New(ctx, switchyard.Listen("/ip4/127.0.0.1/tcp/0")))
	running.Go(func() { _ = a.Run(ctx) })
	check(a.Host().WaitListening(ctx))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, a.Addresses()[0])
	}))
	defer web.Close()

	cfg := registryDefaults()
	cfg.URL = web.URL
	b := must(switchyard.New(ctx, switchyard.Listen(),
		switchyard.Source("registry", func(env discovery.Env) (discovery.Source, error) {
			return newRegistry(cfg, env)
		})))
	peers := b.Host().Subscribe(ctx)
	defer peers.Close()
	running.Go(func() { _ = b.Run(ctx) })
	fmt.Println("found it:", must(peers.Next(ctx)).ID == a.Host().Self())
	// Output: found it: true
}
