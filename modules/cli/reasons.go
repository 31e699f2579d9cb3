package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// Kinds of reasons.
const (
	kindReason  = "reason"
	kindStage   = "stage"
	kindFinding = "finding"
)

// reasonEntry is an entry of the catalogue of reasons: docs/reasons.md and the command reasons. A test holds it to the
// code.
type reasonEntry struct {
	Kind   string `json:"kind"`
	Code   string `json:"code"`
	Text   string `json:"text"`
	Remedy string `json:"remedy"`
}

// anchor is the entry's anchor in docs/reasons.md. It never changes.
func (r reasonEntry) anchor() string {
	if r.Kind == kindStage { // transport is a reason, too
		return "stage-" + r.Code
	}
	return r.Code
}

// reasonsPage is where the catalogue is documented.
const reasonsPage = "docs/reasons.md"

// hint returns where to read about an error that has a code; "" for others.
func hint(err error) string {
	code := codeOf(err)
	for _, r := range reasonCatalogue() {
		if r.Kind == kindReason && r.Code == code && code != muxer.CodeUnknown.String() &&
			code != muxer.CodeRequested.String() {
			return "see " + reasonsPage + "#" + r.anchor()
		}
	}
	return ""
}

// codeOf returns the name of the code in an error; "" if there is none.
func codeOf(err error) string {
	var (
		answer  *admin.APIError
		ended   *host.DisconnectError
		refusal *handshake.Refusal
		stage   *handshake.StageError
	)
	switch {
	case errors.As(err, &answer) && answer.Reason != nil:
		return answer.Reason.Code
	case errors.As(err, &ended):
		return ended.Code.String()
	case errors.As(err, &refusal):
		return refusal.Code.String()
	case errors.As(err, &stage):
		return stage.Code.String()
	}
	return ""
}

func (p *Program) reasonsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "reasons [CODE]", Short: "Explain the codes of reasons, stages and findings", Args: atMost(1, "CODE"),
		Long: "Explain why links end or do not come up (reasons), how far a handshake came (stages) and what " +
			"status says\n" +
			"of the node (findings), with what to do about each. Errors, events, status and the API name the codes.",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var out []string
			for _, r := range reasonCatalogue() {
				out = append(out, r.Code+"\t"+r.Text)
			}
			if len(args) > 0 {
				out = nil
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			list := reasonCatalogue()
			if len(args) > 0 {
				list = slices.DeleteFunc(list, func(r reasonEntry) bool {
					return r.Code != args[0] && r.anchor() != args[0]
				})
				if len(list) == 0 {
					return usage("reasons: no code %q; %s reasons lists all", args[0], p.Name)
				}
			}
			out := cmd.OutOrStdout()
			switch {
			case asJSON:
				return printJSON(out, list)
			case len(args) > 0:
				for _, r := range list {
					printPairs(out, [][2]string{{r.Kind, r.Code}, {"means", r.Text}, {"do", r.Remedy}})
				}
				return nil
			}
			t := table{heads: []string{"KIND", "CODE", "MEANS"}}
			for _, r := range list {
				t.add(r.Kind, r.Code, r.Text)
			}
			t.print(out)
			return nil
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// reasonsMarkdown returns docs/reasons.md.
func reasonsMarkdown() string {
	var b strings.Builder
	b.WriteString("# Reasons\n\n" +
		"Errors, events, `status` and the admin API name codes: why a link ended or did not come up, how far a " +
		"handshake\n" +
		"came, and how the node is. `switchyard reasons CODE` prints what is here. Codes and anchors never " +
		"change. (This\n" +
		"page is made from `modules/cli/catalogue.go`.)\n")
	for _, part := range []struct{ kind, head, text string }{
		{kindReason, "Reasons of links", "Why a link ended, or was refused. `remote` tells which end decided it: " +
			"remedies " +
			"are for the node whose error or\nlog names the code. If a `limit` is named, it is the configuration " +
			"key of " +
			"the limit that refused."},
		{kindStage, "Stages of a handshake", "Where a dial or a handshake failed."},
		{kindFinding, "Findings", "What `status` and the page say of the node (`/v1/status`, `findings`)."},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", part.head, part.text)
		for _, r := range reasonCatalogue() {
			if r.Kind != part.kind {
				continue
			}
			title := r.Code
			if r.Kind == kindStage {
				title = "stage " + r.Code
			}
			fmt.Fprintf(&b, "\n### %s\n\n%s\n", title, fill(r.Text+" **Remedy:** "+r.Remedy, 120))
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
