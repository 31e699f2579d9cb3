package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/switchyard-p2p/switchyard/internal/reasons"
	"github.com/switchyard-p2p/switchyard/modules"
)

func (p *Program) manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the man pages into a folder", Args: takes("DIR"),
		Long: "Write the man pages into a folder: one for each command (section 1), " + p.Name + "-config(5) for " +
			"the\n" +
			"configuration and " + p.Name + "(7) for what they have in common. They are made from the program " +
			"itself, so\n" +
			"they have the keys and commands of its plug-ins.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			pages := p.manPages(cmd.Root())
			var errs []error
			for name, page := range pages {
				errs = append(errs, os.WriteFile(filepath.Join(args[0], name), page, 0o644))
			}
			if err := errors.Join(errs...); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "wrote %d pages to %s\n", len(pages), args[0])
			return err
		},
	}
}

// manPages returns all pages by file name.
func (p *Program) manPages(root *cobra.Command) map[string][]byte {
	pages := map[string][]byte{
		p.Name + "-config.5": configPage(p),
		p.Name + ".7":        overviewPage(p),
	}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, below := range c.Commands() {
			if below.Name() != "help" && !below.Hidden {
				walk(below)
			}
		}
		c.DisableAutoGenTag = true
		var b bytes.Buffer
		header := &doc.GenManHeader{Title: strings.ToUpper(strings.ReplaceAll(c.CommandPath(), " ", "-")), Section: "1",
			Source: p.Name + " " + p.Version, Manual: p.Name}
		if err := doc.GenMan(c, header, &b); err != nil { // it writes to memory
			panic(err)
		}
		page := b.Bytes()
		// cobra names the pages beside this one, but not those of other sections.
		page = append(page, fmt.Sprintf("\n.PP\n\\fB%[1]s-config(5)\\fP, \\fB%[1]s(7)\\fP\n", roff(p.Name))...)
		pages[strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"] = page
	}
	walk(root)
	return pages
}

// roff makes text safe in a man page.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

// manPage writes a page of section 5 or 7.
type manPage struct{ bytes.Buffer }

func newManPage(p *Program, name, section, about string) *manPage {
	m := &manPage{}
	fmt.Fprintf(m, ".TH \"%s\" \"%s\" \"\" \"%s %s\" \"%s\"\n", strings.ToUpper(roff(name)), section, roff(p.Name),
		roff(p.Version), roff(p.Name))
	m.WriteString(".nh\n.ad l\n") // keys and variables stay whole
	fmt.Fprintf(m, ".SH NAME\n%s \\- %s\n", roff(name), roff(about))
	return m
}

func (m *manPage) head(text string) { fmt.Fprintf(m, ".SH %s\n", strings.ToUpper(roff(text))) }
func (m *manPage) text(text string) { fmt.Fprintf(m, ".PP\n%s\n", roff(text)) }

// item writes a term and what it means.
func (m *manPage) item(term, text string) {
	fmt.Fprintf(m, ".TP\n\\fB%s\\fP\n%s\n", roff(term), roff(text))
}

// configPage is the page of the configuration: every key, with its variable.
func configPage(p *Program) []byte {
	m := newManPage(p, p.Name+"-config", "5", "the configuration of a node")
	m.head("description")
	m.text("A node reads config.toml from its folder. Every key is optional. " + p.Name + " init writes a file " +
		"with all " +
		"keys of the node; " + p.Name + " check checks one; " + p.Name + " config --effective tells what holds " +
		"and why.")
	m.text("A flag (--set KEY=VALUE) wins over the environment, which wins over the file, which wins over the " +
		"default. " +
		"Keys that are marked live take effect when the node reloads; others need a restart.")
	section := ""
	for _, k := range modules.Keys(p.Plugins...) {
		at, _, nested := strings.Cut(k.Name, ".")
		if !nested {
			at = "the node"
			if k.Name == "discovery" {
				at = k.Name
			}
		}
		if at != section {
			section = at
			m.head(at)
		}
		parts := []string{}
		if k.Comment != "" {
			parts = append(parts, strings.TrimSuffix(k.Comment, ".")+".")
		}
		want := strings.ToUpper(k.Type[:1]) + k.Type[1:]
		if k.Default != "" {
			want += "; by default " + k.Default
		}
		if k.Live {
			want += "; live"
		}
		parts = append(parts, want+".", "Variable: "+modules.EnvName(p.envPrefix(), k.Name)+".")
		m.item(k.Name, strings.Join(parts, " "))
	}
	m.head("see also")
	m.text(p.Name + "(1), " + p.Name + "(7)")
	return m.Bytes()
}

// overviewPage is the page of what the commands have in common.
func overviewPage(p *Program) []byte {
	m := newManPage(p, p.Name, "7", "a peer-to-peer node: files, environment, signals, reasons")
	m.head("description")
	m.text(p.Name + " runs a peer-to-peer node that joins CometBFT networks and speaks libp2p, on one port. A " +
		"node is made " +
		"of plug-ins: transports, wires, securities, muxers, sources of peers and services. Its configuration " +
		"chooses " +
		"among them.")
	m.text("A node id is 40 hexadecimal digits, or a libp2p peer id. An address names a node and its wire: " +
		"id@host:port " +
		"and /ip4/1.2.3.4/tcp/26656/mconn/ID are CometBFT's; /ip4/1.2.3.4/tcp/26656/p2p/ID and " +
		"/ip4/1.2.3.4/udp/26656/quic-v1/p2p/ID are libp2p's.")
	m.head("exit status")
	for _, e := range exitCodes {
		m.item(fmt.Sprint(e.code), e.text)
	}
	m.head("files")
	for _, f := range homeFiles {
		m.item(f[0], f[1])
	}
	m.head("environment")
	for _, v := range p.variables() {
		m.item(v[0], v[1])
	}
	m.head("signals")
	for _, s := range startSignals {
		m.item(s[0], s[1])
	}
	for _, part := range [][2]string{{reasons.Link, "reasons of links"}, {reasons.Stage, "stages of a handshake"},
		{reasons.Finding, "findings"}} {
		m.head(part[1])
		for _, r := range reasons.All() {
			if r.Kind == part[0] {
				m.item(r.Code, r.Text+" "+r.Remedy)
			}
		}
	}
	m.head("see also")
	m.text(p.Name + "(1), " + p.Name + "-config(5)")
	return m.Bytes()
}

// exitCodes are those of all commands. The documents are held to them.
var exitCodes = []struct {
	code int
	text string
}{
	{exitDone, "Done."},
	{exitFailed, "It failed."},
	{exitUsage, "The call is wrong: a flag, an argument, --set or a variable."},
	{exitPartial, "A part of it is done (crawl --strict)."},
}

var homeFiles = [][2]string{
	{"config.toml", "The configuration."},
	{"node_key.json", "The key, in CometBFT's form. Whoever has it is the node."},
	{"admin.token", "The token of the running node: who can read it may change the node."},
	{"quic_reset_key", "By which peers learn that a node that crashed has lost its QUIC connections."},
	{"data/peers", "The known peers and the bans."},
}

// variables are the environment variables that are no keys, and the rule for those that are.
func (p *Program) variables() [][2]string {
	prefix := p.envPrefix()
	return [][2]string{
		{prefix + "_HOME", "The node's folder, where --home does not say it."},
		{prefix + "_SECTION_KEY", "Sets the key section.key: see " + p.Name + "-config(5)."},
		{"NO_COLOR", "If it is set, nothing is in colour."},
		{"TERM", "If it is dumb, nothing is in colour."},
		{"HOME", "The default folder is ." + p.Name + " there."},
	}
}

var startSignals = [][2]string{
	{"SIGINT, SIGTERM", "Stop the node cleanly. A second one ends it at once."},
	{"SIGHUP", "Makes it read its configuration again. Ignored under nohup. Other commands stop."},
	{"SIGUSR1", "Logs what its goroutines do."},
}
