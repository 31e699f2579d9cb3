package reasons

import (
	"fmt"
	"strings"
)

// Markdown returns the document.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Reasons\n\n" + fill("Errors, events, `status` and the admin API name codes: why a link ended or "+
		"did not come up, how far a handshake came, and how the node is. `switchyard reasons CODE` prints what is "+
		"here. Codes and anchors never change. (This page is made from `internal/reasons/table.go`.)", 120) + "\n")
	for _, part := range []struct{ kind, head, text string }{
		{Link, "Reasons of links", "Why a link ended, or was refused. `remote` tells which end decided it: remedies " +
			"are for the node whose error or log names the code. If a `limit` is named, it is the configuration key " +
			"of the limit that refused."},
		{Stage, "Stages of a handshake", "Where a dial or a handshake failed."},
		{Finding, "Findings", "What `status` and the page say of the node (`/v1/status`, `findings`)."},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", part.head, fill(part.text, 120))
		for _, e := range entries {
			if e.Kind != part.kind {
				continue
			}
			title := e.Code
			if e.Kind == Stage {
				title = "stage " + e.Code
			}
			fmt.Fprintf(&b, "\n### %s\n\n%s\n", title, fill(e.Text+" **Remedy:** "+e.Remedy, 120))
		}
	}
	return b.String()
}

// fill breaks a text into lines of at most width characters.
func fill(text string, width int) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return strings.Join(append(lines, line), "\n")
}
