// Command mynode is a node program of one's own: all that the switchyard program has, a service and a source of peers
// from modules of others, and their commands, settings, routes and metrics.
package main

import (
	"example.com/clock"
	"example.com/command"

	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/cli"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

func main() {
	plugins := modules.With(standard.Plugins(), clock.Plugins()...)
	cli.Main(modules.With(plugins, modules.Discovery("command", command.Default, command.New))...)
}
