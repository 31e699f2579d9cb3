package cometbft

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain checks that nothing of Switchyard is left when all tests have ended. CometBFT leaves much behind, so goleak
// cannot judge the process: the routines of proxy.multiAppConn, autofile, txindex and pubsub outlive each node, and for
// some seconds blocksync's pool and the Switch's reconnecting do.
func TestMain(m *testing.M) {
	code := m.Run()
	var left []string
	for range 100 {
		if left = ours(); len(left) == 0 {
			os.Exit(code)
		}
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Fprintf(os.Stderr, "%d goroutines of Switchyard are left:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
	os.Exit(1)
}

// ours returns the goroutines, but this one, that run or were started by code of Switchyard.
func ours() (list []string) {
	all := make([]byte, 16<<20)
	all = all[:runtime.Stack(all, true)]
	for g := range strings.SplitSeq(string(all), "\n\n") {
		if strings.Contains(g, "switchyard-p2p/switchyard/") && !strings.Contains(g, "cometbft.TestMain") {
			list = append(list, g)
		}
	}
	return list
}
