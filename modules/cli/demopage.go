package cli

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/cli/live"
)

// demoService serves the whole network of a demo to the page of each of its nodes. The page looks for a service of this
// name.
const demoService = "demo"

// demoPage is that service.
type demoPage struct{ net *demoNet }

// Run waits for ctx: the routes are all there is.
func (demoPage) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// page is the plug-in of the service.
func (d *demoNet) page() modules.Plugin {
	return modules.Service(demoService, func() (none struct{}) { return none },
		func(struct{}, *host.Host, *slog.Logger) (demoPage, error) { return demoPage{d}, nil },
		modules.WithRoutes(demoPage.routes)).OnByDefault()
}

// routes serves /network: the last snapshot, without the token of node 1.
func (p demoPage) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /network", func(w http.ResponseWriter, _ *http.Request) {
		out := live.Demo{Nodes: []live.DemoNode{}}
		if last := p.net.last.Load(); last != nil {
			out = *last
		}
		out.Page = ""
		admin.Reply(w, http.StatusOK, out)
	})
	return mux
}
