package cli_test

import (
	"context"
	"os"
	"strings"

	"github.com/switchyard-p2p/switchyard/modules/cli"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

// A main of its own has all commands for its plug-ins: it calls Main where this example calls Run.
func Example() {
	program := cli.Program{Name: "mynode", Version: "v1.2.3", Plugins: standard.Plugins()}
	program.Run(context.Background(), []string{"--version"}, strings.NewReader(""), os.Stdout, os.Stderr)
	// Output: mynode v1.2.3
}
