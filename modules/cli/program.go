// Package cli is the command line of a node, for any list of plug-ins. A main of one line has all commands of the
// switchyard binary (docs/cli.md), which work with its own plug-ins:
//
//	func main() { cli.Main(standard.Plugins()...) }
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/switchyard-p2p/switchyard/modules"
)

// Exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitPartial = 3 // a part of it is done
)

// Program is a command line around a catalogue of plug-ins.
type Program struct {
	// Name is what the user types. It names the default home, ~/.NAME, and the software in the node info. "" means the
	// name of the executable file.
	Name string
	// Version is the version of the program. "" means that of its main module, or of the commit it was built from.
	Version string
	// Plugins is the catalogue: what the configuration can choose from, and further commands.
	Plugins []modules.Plugin

	signals *signals // of the running command
}

// Main runs the command line around plugins: it executes the command that os.Args names, and exits with its code.
func Main(plugins ...modules.Plugin) { Program{Plugins: plugins}.Main() }

// Main executes the command that os.Args names, and exits with its code: 0 done, 1 it failed, 2 the call is wrong.
func (p Program) Main() {
	os.Exit(p.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Run executes the command that args name and returns its exit code. The first SIGINT, SIGTERM or SIGHUP ends ctx, so
// that the command stops cleanly; the second exits at once. For start, SIGHUP asks for a reload instead. A SIGHUP that
// the parent ignores (nohup) stays ignored.
func (p Program) Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.signals = watchSignals(cancel)
	defer p.signals.end()

	if p.Name == "" {
		p.Name = filepath.Base(os.Args[0])
	}
	if p.Version == "" {
		p.Version = builtVersion()
	}
	root := p.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	text := message(err)
	if h := hint(err); h != "" {
		text += " (" + h + ")"
	}
	fmt.Fprintf(stderr, "%s: %s\n", p.Name, text)
	return exitCode(err)
}

// agent returns the name and version of the software for the node info.
func (p *Program) agent() string { return p.Name + "/" + p.Version }
