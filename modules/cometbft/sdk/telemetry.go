//lint:file-ignore SA1019 The SDK's own start command goes on with this telemetry, whose settings are in app.toml.

package sdk

import (
	"github.com/cosmos/cosmos-sdk/server/api"
	serverconfig "github.com/cosmos/cosmos-sdk/server/config"
	"github.com/cosmos/cosmos-sdk/telemetry"
	"github.com/cosmos/cosmos-sdk/version"
	"github.com/hashicorp/go-metrics"
)

// meters are the telemetry of app.toml.
type meters struct {
	on  bool
	all *telemetry.Metrics
}

// startTelemetry makes the telemetry that app.toml asks for, and sets its gauge of versions.
func startTelemetry(cfg serverconfig.Config) (m meters, err error) {
	m.on = cfg.Telemetry.Enabled
	if m.all, err = telemetry.New(cfg.Telemetry); err != nil {
		return m, err
	}
	v := version.NewInfo()
	var labels []metrics.Label
	for name, value := range map[string]string{"go": v.GoVersion, "version": v.CosmosSdkVersion} {
		if value != "" {
			labels = append(labels, telemetry.NewLabel(name, value))
		}
	}
	if len(labels) > 0 {
		telemetry.SetGaugeWithLabels([]string{"server", "info"}, 1, labels)
	}
	return m, nil
}

// serve lets the API server show the telemetry.
func (m meters) serve(s *api.Server) {
	if m.on {
		s.SetTelemetry(m.all)
	}
}
