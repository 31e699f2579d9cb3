package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build says what a program was built from: what version --json prints.
type build struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`      // "" outside of a checkout
	Time     string `json:"commit_time,omitempty"` // RFC 3339
	Modified string `json:"modified,omitempty"`    // "true" if the checkout had changes
	Go       string `json:"go_version"`
	Platform string `json:"platform"`
}

// build returns what the program was built from.
func (p *Program) build() build {
	b := build{Name: p.Name, Version: p.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				b.Modified = s.Value
			}
		}
	}
	return b
}

// versionText is the version in one line.
func (b build) text() string {
	text := b.Name + " " + b.Version
	if b.Commit != "" {
		text += " commit " + b.Commit[:min(12, len(b.Commit))]
		if b.Modified != "" {
			text += " with changes"
		}
	}
	return text + " " + b.Go + " " + b.Platform
}

func (p *Program) versionCommand() *cobra.Command {
	var asJSON, short bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: takes(),
		Long: "Print the version of this program, the commit it was built from, Go's version and the platform.",
		RunE: func(cmd *cobra.Command, args []string) error {
			b := p.build()
			switch {
			case asJSON && short:
				return usage("--json and --short: give one of them")
			case asJSON:
				return printJSON(cmd.OutOrStdout(), b)
			case short:
				_, err := fmt.Fprintln(cmd.OutOrStdout(), b.Version)
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), b.text())
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&short, "short", false, "print the version alone")
	return cmd
}

// builtVersion is the main module's version, else the commit that the program was built from.
func builtVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
