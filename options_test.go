package switchyard_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/handshake"
)

// The registry and the node info of a program reach the host.
func TestMetricsAndInfo(t *testing.T) {
	registry, asked := prometheus.NewRegistry(), 0
	info := func(i *handshake.NodeInfo) { i.TxIndex, asked = "on", asked+1 }
	node, err := switchyard.New(t.Context(), switchyard.Listen(), switchyard.Metrics(registry), switchyard.Info(info))
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	families, err := registry.Gather()
	if err != nil || len(families) == 0 || asked == 0 {
		t.Errorf("%d metrics, %v; asked %d times for the node info", len(families), err, asked)
	}
	wrong := func(i *handshake.NodeInfo) { i.TxIndex = "maybe" }
	if _, err := switchyard.New(t.Context(), switchyard.Listen(), switchyard.Info(wrong)); err == nil ||
		!strings.Contains(err.Error(), "tx_index") {
		t.Errorf("a bad node info: %v", err)
	}
}
