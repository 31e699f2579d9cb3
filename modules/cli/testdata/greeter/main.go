// Command greeter is the switchyard binary with a service of its own, which adds a command, an API route and a metric.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/cli"
	"github.com/switchyard-p2p/switchyard/modules/standard"
	"github.com/switchyard-p2p/switchyard/muxer"
)

func main() {
	cli.Main(modules.With(standard.Plugins(),
		modules.Service("greeter", defaults, newGreeter,
			modules.WithRoutes((*greeter).routes),
			modules.WithMetrics((*greeter).metrics)).OnByDefault(),
		modules.Command(greetCommand()),
	)...)
}

// config is what [services.greeter] may say.
type config struct{ Greeting string }

func defaults() config { return config{Greeting: "hello"} }

// greeter is a service that greets peers, and counts who greeted it.
type greeter struct {
	cfg     config
	channel *host.Channel
	heard   prometheus.Counter
}

func newGreeter(cfg config, h *host.Host, _ *slog.Logger) (*greeter, error) {
	channel, err := h.OpenChannel(muxer.Channel{ID: 0x70, Name: "/hello/1.0.0", MaxMessage: 1024})
	heard := prometheus.NewCounter(prometheus.CounterOpts{Name: "greeter_heard_total", Help: "Greetings of peers."})
	return &greeter{cfg, channel, heard}, err
}

// Run works until ctx ends.
func (g *greeter) Run(ctx context.Context) error {
	for {
		if _, err := g.channel.Receive(ctx); err != nil {
			return nil // the node stops
		}
		g.heard.Inc()
	}
}

func (g *greeter) metrics() []prometheus.Collector { return []prometheus.Collector{g.heard} }

// routes serves POST /v1/services/greeter/greetings.
func (g *greeter) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /greetings", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"peers":%d}`, g.channel.Broadcast([]byte(g.cfg.Greeting)))
	})
	return mux
}

// greetCommand lets the running node greet all its peers.
func greetCommand() modules.CommandSpec {
	quiet := false
	return modules.CommandSpec{
		Name: "greet", Short: "Greet all peers of the running node",
		Flags: func(f *flag.FlagSet) { f.BoolVar(&quiet, "quiet", false, "print nothing") },
		Run: func(ctx context.Context, call modules.Call) error {
			client, err := call.Client()
			if err != nil {
				return err
			}
			var answer struct{ Peers int }
			if err := client.Call(ctx, "POST", "/v1/services/greeter/greetings", nil, &answer); err != nil {
				return err
			}
			if !quiet {
				fmt.Fprintf(call.Out, "greeted %d peers\n", answer.Peers)
			}
			return nil
		},
	}
}
