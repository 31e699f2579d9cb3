package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/host/admin"
)

// maxPublish bounds what publish reads; the node's services.relay.max_item decides.
const maxPublish = 256 << 20

func (p running) publishCommand() *cobra.Command {
	var (
		h      = home{p: p.Program}
		topic  string
		file   string
		wait   time.Duration
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: "publish TEXT", Short: "Publish an item at the running node's relay", Args: atMost(1, "TEXT|-"),
		Long: "Publish TEXT, the bytes of standard input (-) or those of a file (--file) as one item at the running\n" +
			"node, whose services.relay.enabled must be true. Its peers relay the item to the whole network.\n\n" +
			"The answer tells how many peers get it without waiting, and with --wait when the first one has it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if wait < 0 || wait > time.Minute {
				return usage("--wait %v: want 0 to 1m", wait)
			}
			var item []byte
			var err error
			switch {
			case len(args) == 0 && file == "":
				return usage("publish: TEXT is missing; want %s TEXT, - for standard input, or --file FILE",
					cmd.CommandPath())
			case len(args) > 0 && file != "":
				return usage("publish: give TEXT or --file %s, not both", file)
			case file != "":
				item, err = readItem(nil, file)
			case args[0] == "-":
				item, err = readItem(cmd.InOrStdin(), "standard input")
			case args[0] == "":
				return usage("publish: TEXT is empty: an item has at least one byte")
			default:
				item = []byte(args[0])
			}
			if err != nil {
				return err
			}
			c, err := h.client()
			if err != nil {
				return err
			}
			out, err := c.Publish(cmd.Context(), topic, item, wait)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), out)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), publishedText(out, wait))
			return err
		},
	}
	h.callFlags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&topic, "topic", "", "which of services.relay.topics (default: the first)")
	cmd.Flags().StringVarP(&file, "file", "f", "", "publish the bytes of this file")
	complete(cmd, "topic", values(p).topics)
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to wait until somebody has fetched it, up to 1m")
	return cmd
}

// readItem reads in, or the file of that name if in is nil.
func readItem(in io.Reader, name string) ([]byte, error) {
	if in == nil {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	item, err := io.ReadAll(io.LimitReader(in, maxPublish+1))
	switch {
	case err != nil:
		return nil, err
	case len(item) == 0:
		return nil, fmt.Errorf("%s is empty: an item has at least one byte", name)
	case len(item) > maxPublish:
		return nil, fmt.Errorf("%s is longer than %d bytes", name, maxPublish)
	}
	return item, nil
}

// publishedText says what became of an item.
func publishedText(p admin.Published, wait time.Duration) string {
	text := fmt.Sprintf("%s (%s, %d bytes): ", p.ID, cmp.Or(p.Topic, "-"), p.Bytes)
	switch {
	case p.Known:
		return text + "the node had it already"
	case p.Peers == 1:
		text += "1 peer gets it now"
	default:
		text += fmt.Sprintf("%d peers get it now", p.Peers)
	}
	switch {
	case p.FetchedMS != nil:
		text += fmt.Sprintf("; first fetched after %.3f ms", *p.FetchedMS)
	case wait > 0:
		text += fmt.Sprintf("; nobody has fetched it within %v", wait)
	}
	return text
}
