package live_test

import (
	"fmt"

	"github.com/switchyard-p2p/switchyard/modules/cli/live"
)

// A remote chooses its moniker; it must not choose what the terminal does.
func ExampleClean() {
	fmt.Println(live.Clean("node\x1b[2J \u202eevil\u202c 節点"))
	fmt.Println(live.Width("節点"))
	// Output:
	// node?[2J evil 節点
	// 4
}
