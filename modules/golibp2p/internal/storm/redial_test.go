package storm

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"

	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/hostkit"
)

// A peer that hangs up and dials again at once is never refused, though the other end may still hold the connection
// that has ended. Both kinds dial both kinds, and in turn the dialer and the other end hang up.
func TestRedial(t *testing.T) {
	for _, via := range hostkit.Each {
		for _, from := range kinds {
			for _, to := range kinds {
				if from.name == "theirs" && to.name == "theirs" {
					continue
				}
				t.Run(fmt.Sprintf("%s dials %s over %s", from.name, to.name, via), func(t *testing.T) {
					o := hostkit.Options{Via: via}
					redial(t, start(t, from.make, o), start(t, to.make, o), often(500, 25))
				})
			}
		}
	}
}

func redial(t *testing.T, from, to host.Host, times int) {
	down := ends(t, from, to.ID())
	refused := 0
	for i := range times {
		ctx := within(t)
		err := hostkit.Connect(ctx, from, to)
		if err == nil {
			err = echo(ctx, toPeer(from, to.ID()), "still there?")
		}
		if err != nil {
			if refused++; refused <= 3 {
				t.Errorf("dial %d of %d: %v", i+1, times, err)
			}
			_ = from.Network().ClosePeer(to.ID())
			for len(down) > 0 {
				<-down
			}
			continue
		}
		if i%2 == 0 {
			err = from.Network().ClosePeer(to.ID())
		} else {
			err = to.Network().ClosePeer(from.ID())
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := next(ctx, down); err != nil {
			t.Fatalf("hanging up after dial %d: %v", i+1, err)
		}
	}
	if refused > 0 {
		t.Errorf("%d of %d refused", refused, times)
	}
}
