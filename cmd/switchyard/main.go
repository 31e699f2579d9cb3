// Command switchyard runs and looks after a Switchyard node. `switchyard help` lists its commands; docs/cli.md
// describes them.
package main

import (
	"github.com/switchyard-p2p/switchyard/modules/cli"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

// version is set by the linker in release builds (-X main.version=v1.2.3).
var version string

func main() {
	cli.Program{Name: "switchyard", Version: version, Plugins: standard.Plugins()}.Main()
}
