package standard

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/host/autonat"
	"github.com/switchyard-p2p/switchyard/internal/stock"
	"github.com/switchyard-p2p/switchyard/modules"
)

// autonatPlugin is the service that dials peers back and asks peers to: [services.autonat], its metric, and
// /v1/services/autonat/ask.
func autonatPlugin() modules.Plugin {
	return modules.Service("autonat", autonat.Default,
		func(cfg autonat.Config, h *host.Host, log *slog.Logger) (*autonat.Service, error) {
			return autonat.New(cfg, h, stock.Prober("switchyard", log), log)
		},
		modules.WithRoutes(autonatRoutes),
		modules.WithMetrics(func(s *autonat.Service) []prometheus.Collector { return s.Collectors() }),
	).OnByDefault()
}

// autonatTime is how long an answer of the route may take: Ask takes 45 s at most.
const autonatTime = time.Minute

func autonatRoutes(s *autonat.Service) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ask", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(autonatTime))
		report, err := s.Ask(r.Context())
		if err != nil {
			admin.Fail(w, http.StatusServiceUnavailable, err)
			return
		}
		admin.Reply(w, http.StatusOK, report)
	})
	return mux
}
