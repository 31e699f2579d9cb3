package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/switchyard-p2p/switchyard/internal/reasons"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

// eachCommand calls fn with every command that a user sees.
func eachCommand(root *cobra.Command, fn func(*cobra.Command)) {
	fn(root)
	for _, c := range root.Commands() {
		if c.Name() != "help" && !c.Hidden {
			eachCommand(c, fn)
		}
	}
}

func standardProgram() *Program {
	return &Program{Name: "switchyard", Version: "v1", Plugins: standard.Plugins()}
}

// TestManPages: there is a page for each command with all its flags, and one with every key, variable and reason.
func TestManPages(t *testing.T) {
	p := standardProgram()
	dir := filepath.Join(t.TempDir(), "man")
	if out := must(t, "man", dir); !strings.HasPrefix(out, "wrote ") {
		t.Errorf("printed %q", out)
	}
	plain := strings.NewReplacer(`\-`, "-", `\fB`, "", `\fP`, "", `\e`, `\`, `\&`, "")
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		return plain.Replace(string(data))
	}
	pages := 2
	eachCommand(p.root(), func(c *cobra.Command) {
		pages++
		page := read(strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1")
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !strings.Contains(page, "--"+f.Name) {
				t.Errorf("the page of %s lacks --%s", c.CommandPath(), f.Name)
			}
		})
		if !strings.Contains(page, "switchyard-config(5)") {
			t.Errorf("the page of %s names no other pages", c.CommandPath())
		}
	})
	config := read("switchyard-config.5")
	for _, k := range modules.Keys(p.Plugins...) {
		if !strings.Contains(config, "\n"+k.Name+"\n") ||
			!strings.Contains(config, modules.EnvName("SWITCHYARD", k.Name)+".") {
			t.Errorf("switchyard-config(5) lacks %s or its variable", k.Name)
		}
	}
	overview := read("switchyard.7")
	for _, r := range reasons.All() {
		if !strings.Contains(overview, "\n"+r.Code+"\n") {
			t.Errorf("switchyard(7) lacks %s", r.Code)
		}
	}
	for _, want := range []string{"SWITCHYARD_HOME", "SIGHUP", "admin.token", "EXIT STATUS"} {
		if !strings.Contains(overview, want) {
			t.Errorf("switchyard(7) lacks %s", want)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != pages {
		t.Errorf("%d files, want %d pages: %v", len(files), pages, err)
	}
}
