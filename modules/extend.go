package modules

import (
	"context"
	"flag"
	"io"
	"slices"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/host/admin"
)

// CommandSpec is a command that a plug-in adds to a command line (package modules/cli).
type CommandSpec struct {
	Name  string   // what the user types; that of a stock command takes its place
	Args  []string // names of the arguments, for the help text; all are required
	Short string   // one line
	Long  string   // the help text; "" means Short
	// Flags adds the command's own flags, beside --home and --set. It may be nil.
	Flags func(*flag.FlagSet)
	// Run does the work until ctx ends. An error is printed in one line, and the exit code is 1, or 2 for a
	// *UsageError.
	Run func(ctx context.Context, call Call) error
	// Commands are the commands below this one, which then has no Args, Flags or Run of its own.
	Commands []CommandSpec
}

// Call is one call of a command.
type Call struct {
	Args    []string
	Config  Config                        // of the node's home, with --set over it
	Client  func() (*admin.Client, error) // asks the running node
	In      io.Reader
	Out     io.Writer
	Version string // of the program
}

// UsageError reports that a command was called in a wrong way.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *UsageError) Unwrap() error { return e.Err }

// Command is a command of the catalogue. A node does not know it: only the command line does.
func Command(c CommandSpec) Plugin {
	p := bare(kindCommand, c.Name, func(*Config) fx.Option { return fx.Options() })
	p.command = c
	return p
}

// Commands returns the commands of a catalogue.
func Commands(plugins []Plugin) []CommandSpec {
	var list []CommandSpec
	for _, p := range plugins {
		if p.kind == kindCommand {
			list = append(list, p.command)
		}
	}
	return list
}

// Extend adds to the graph of each node that is made of the catalogue: a handshake.Gate in the value group "gates", a
// func(*host.Config) in the value group "tune" that changes what Config has no key for, another handshake.Identity
// (fx.Decorate), code that needs the *host.Host (fx.Invoke). Node lists what the graph has.
func Extend(name string, build func(Config) fx.Option) Plugin {
	return bare(kindExtension, name, func(c *Config) fx.Option { return build(c.Clone()) })
}

// bare is a plug-in without settings.
func bare(k kind, name string, option func(*Config) fx.Option) Plugin {
	return Plugin{
		kind: k, name: name,
		check:  func(*Config, string, Table) error { return nil },
		option: func(c *Config, _ string, _ Table, _ int) fx.Option { return option(c) },
	}
}

// With returns plugins and more: each of more replaces the plug-in of its kind and name, or is appended.
func With(plugins []Plugin, more ...Plugin) []Plugin {
	list := slices.Clone(plugins)
	for _, p := range more {
		same := func(q Plugin) bool { return q.kind == p.kind && q.name == p.name }
		if i := slices.IndexFunc(list, same); i >= 0 {
			list[i] = p
		} else {
			list = append(list, p)
		}
	}
	return list
}

// Without returns plugins without those of these names, of any kind.
func Without(plugins []Plugin, names ...string) []Plugin {
	return slices.DeleteFunc(slices.Clone(plugins), func(p Plugin) bool { return slices.Contains(names, p.name) })
}
