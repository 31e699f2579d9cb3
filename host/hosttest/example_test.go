package hosttest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// A network of ten nodes is cut in two for five minutes, and heals. Under synctest this takes no real time.
func Example() {
	_ = func(t *testing.T) { // func TestTwoHalves(t *testing.T)
		synctest.Test(t, func(t *testing.T) {
			net := hosttest.New(t, hosttest.Options{Nodes: 10, KnowFirst: true})
			net.AwaitConnected()
			net.Cut(memory.Stall, net.Nodes[:5])
			time.Sleep(5 * time.Minute)
			net.Heal()
			net.AwaitConnected()
			net.AssertTruth()
		})
	}
	// Output:
}
