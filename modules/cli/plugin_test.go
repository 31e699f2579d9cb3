package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

// A command of a plug-in has commands below it, each with its own arguments and flags.
func TestPluginCommandsBelow(t *testing.T) {
	times := 0
	box := modules.CommandSpec{Name: "box", Short: "Put and get", Commands: []modules.CommandSpec{
		{Name: "put", Args: []string{"THING"}, Short: "Put a thing in",
			Flags: func(f *flag.FlagSet) { f.IntVar(&times, "times", 1, "how often") },
			Run: func(_ context.Context, call modules.Call) error {
				_, err := fmt.Fprintf(call.Out, "%s %d\n", call.Args[0], times)
				return err
			}},
		{Name: "get", Short: "Get it", Run: func(context.Context, modules.Call) error {
			return &modules.UsageError{Err: fmt.Errorf("it is empty")}
		}},
	}}
	program := Program{Name: "boxed", Version: "v0", Plugins: modules.With(standard.Plugins(), modules.Command(box))}
	home := filepath.Join(t.TempDir(), "node")
	for _, tt := range []struct {
		call, out, err string
		code           int
	}{
		{call: "init", out: "node id"},
		{call: "box put x --times 3", out: "x 3\n"},
		{call: "box put", err: "THING is missing", code: exitUsage},
		{call: "box get", err: "boxed: it is empty\n", code: exitUsage},
		{call: "box", out: "Get it"},
		{call: "box lose", err: `unknown command "boxed box lose"`, code: exitUsage},
	} {
		var out, errs bytes.Buffer
		args := append(strings.Fields(tt.call), "--home", home)
		if tt.call == "box" || tt.call == "box lose" {
			args = args[:len(args)-2]
		}
		code := program.Run(t.Context(), args, strings.NewReader(""), &out, &errs)
		if code != tt.code || !strings.Contains(out.String(), tt.out) || !strings.Contains(errs.String(), tt.err) {
			t.Errorf("%s: %d %q %q", tt.call, code, out.String(), errs.String())
		}
	}
}
