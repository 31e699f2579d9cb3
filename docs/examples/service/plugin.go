package clock

import (
	"context"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/modules"
)

// Plugins is what a main adds to its list: the service, on by default, and its command.
func Plugins() []modules.Plugin {
	return []modules.Plugin{
		modules.Service("clock", Default, New, modules.WithRoutes((*Service).routes),
			modules.WithMetrics(func(s *Service) []prometheus.Collector { return []prometheus.Collector{s.answers} }),
		).OnByDefault(),
		modules.Command(command),
	}
}

// routes serves GET /v1/services/clock/peers.
func (s *Service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /peers", func(w http.ResponseWriter, r *http.Request) {
		admin.Reply(w, http.StatusOK, s.Ask(r.Context()))
	})
	return mux
}

// command asks the running node, which asks its peers.
var command = modules.CommandSpec{
	Name: "skew", Short: "Tell how far the clocks of the peers are from this node's",
	Run: func(ctx context.Context, call modules.Call) error {
		client, err := call.Client()
		if err != nil {
			return err
		}
		var all []Skew
		if err := client.Call(ctx, http.MethodGet, "/v1/services/clock/peers", nil, &all); err != nil {
			return err
		}
		for _, s := range all {
			if s.Error != "" {
				fmt.Fprintf(call.Out, "%s: %s\n", s.ID, s.Error)
			} else {
				fmt.Fprintf(call.Out, "%s %+.1f ms\n", s.ID, s.MS)
			}
		}
		return nil
	},
}
