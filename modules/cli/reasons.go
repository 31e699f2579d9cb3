package cli

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/internal/reasons"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// hint returns where to read about an error that has a code; "" for others.
func hint(err error) string {
	code := codeOf(err)
	if code == muxer.CodeUnknown.String() || code == muxer.CodeRequested.String() {
		return ""
	}
	if r, ok := reasons.Find(reasons.Link, code); ok {
		return "see " + reasons.Page + "#" + r.Anchor()
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
			for _, r := range reasons.All() {
				out = append(out, r.Code+"\t"+r.Text)
			}
			if len(args) > 0 {
				out = nil
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			list := reasons.All()
			if len(args) > 0 {
				list = slices.DeleteFunc(list, func(r reasons.Entry) bool {
					return r.Code != args[0] && r.Anchor() != args[0]
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
