package nat

import (
	"fmt"
	"testing"
)

// A probe tells by which protocols a gateway maps ports, and maps none.
func TestProbe(t *testing.T) {
	g := newGateway(t, 91)
	group := g.serveUPnP(t)
	for _, tt := range []struct {
		pcp, pmp, upnp bool
		protocols      []string
		want           string
	}{
		{true, true, true, nil, "[{pcp invalid IP} {nat-pmp 8.8.4.4} {upnp 8.8.4.4}]"},
		{true, true, true, []string{"nat-pmp"}, "[{nat-pmp 8.8.4.4}]"},
		{false, true, false, nil, "[{nat-pmp 8.8.4.4}]"},
		{false, false, true, nil, "[{upnp 8.8.4.4}]"},
	} {
		g.set(func() { g.pcp, g.pmp, g.upnp = tt.pcp, tt.pmp, tt.upnp })
		if got := fmt.Sprint(probe(t.Context(), g.ip, tt.protocols, group)); got != tt.want {
			t.Errorf("%+v: got %s", tt, got)
		}
	}
	if got := g.state(); got != "map[]" {
		t.Errorf("mapped %s", got)
	}
	ip, found, err := Probe(t.Context(), Config{Gateway: g.ip.String(), Protocols: []string{"pcp"}})
	if err != nil || ip != g.ip || len(found) != 0 {
		t.Errorf("%s, %v, %v", ip, found, err)
	}
	if _, _, err := Probe(t.Context(), Config{Gateway: "none"}); err == nil {
		t.Error("no error")
	}
}
