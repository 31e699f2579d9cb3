// Command switchyard-libp2p is the switchyard program with the services that are made of go-libp2p's libraries: pubsub
// and dht. docs/libp2p-programs.md describes what it has beside the commands of docs/cli.md.
package main

import (
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/cli"
	"github.com/switchyard-p2p/switchyard/modules/golibp2p/services"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

// version is set by the linker in release builds (-X main.version=v1.2.3).
var version string

func main() { program().Main() }

func program() cli.Program {
	return cli.Program{Name: "switchyard-libp2p", Version: version,
		Plugins: modules.With(standard.Plugins(), services.Plugins()...)}
}
