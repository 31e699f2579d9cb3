// Command exampled is a Cosmos SDK chain whose node runs on Switchyard.
package main

import (
	"github.com/switchyard-p2p/switchyard/modules/cometbft/sdk"
	"github.com/switchyard-p2p/switchyard/modules/cometbft/sdk/example"
)

func main() { example.Main(sdk.AddCommands) }
