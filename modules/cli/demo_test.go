package cli

import (
	"fmt"
	"slices"
	"testing"

	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

// TestDemoKinds: a demo of a custom binary leaves out the kinds of nodes that it cannot make.
func TestDemoKinds(t *testing.T) {
	for _, tt := range []struct {
		without []string
		want    []string
	}{
		{nil, []string{"all [tcp quic] [comet libp2p] 2", "comet [tcp] [comet] 1", "libp2p [tcp] [libp2p] 1",
			"quic [quic] [libp2p] 1"}},
		{[]string{"quic"}, []string{"all [tcp] [comet libp2p] 1", "comet [tcp] [comet] 1", "libp2p [tcp] [libp2p] 1"}},
		{[]string{"libp2p"}, []string{"all [tcp] [comet] 1", "comet [tcp] [comet] 1"}},
		{[]string{"comet", "libp2p"}, nil},
	} {
		p := Program{Plugins: modules.Without(standard.Plugins(), tt.without...)}
		var got []string
		for _, k := range p.demoKinds() {
			got = append(got, fmt.Sprint(k.name, " ", k.transports, " ", k.wires, " ", len(k.listen)))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("without %v: %q, want %q", tt.without, got, tt.want)
		}
	}
}
