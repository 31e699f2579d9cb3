package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/modules"
)

// completing bounds how long a completion waits for the running node.
const completing = time.Second

// completer suggests values for a flag or an argument.
type completer = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// complete makes a flag suggest values.
func complete(cmd *cobra.Command, flag string, fn completer) {
	_ = cmd.RegisterFlagCompletionFunc(flag, fn)
}

// completeFrom makes a flag suggest fixed values.
func completeFrom(cmd *cobra.Command, flag string, values ...string) {
	complete(cmd, flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completeKeys suggests KEY= for --set.
func (p *Program) completeKeys(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var out []string
	for _, k := range modules.Keys(p.Plugins...) {
		text := k.Name + "="
		if k.Comment != "" {
			text += "\t" + k.Comment
		}
		out = append(out, text)
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeKeyArgs suggests keys for an argument.
func (p *Program) completeKeyArgs(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var out []string
	for _, k := range modules.Keys(p.Plugins...) {
		out = append(out, k.Name+"\t"+k.Comment)
	}
	if len(args) > 0 {
		out = nil
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// asks returns a completer for the first argument, which asks the running node of the home that the flags name.
func (p *Program) asks(values func(context.Context, *admin.Client) []string) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		h := home{p: p, given: func() bool { return cmd.Flags().Changed("home") }, timeout: completing}
		h.dir, _ = cmd.Flags().GetString("home")
		h.sets, _ = cmd.Flags().GetStringArray("set")
		c, err := h.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completing)
		defer cancel()
		out := values(ctx, c)
		for i := range out { // monikers are of remotes
			value, about, _ := strings.Cut(out[i], "\t")
			out[i] = clean(value) + "\t" + clean(about)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// completePeers suggests the ids of linked peers.
func (p *Program) completePeers(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
	return p.asks(func(ctx context.Context, c *admin.Client) []string {
		peers, _ := c.Peers(ctx)
		var out []string
		for _, p := range peers {
			out = append(out, string(p.NodeID)+"\t"+p.Moniker+" "+p.IP)
		}
		return out
	})(cmd, args, to)
}

// completeAddresses suggests addresses of known peers.
func (p *Program) completeAddresses(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
	return p.asks(func(ctx context.Context, c *admin.Client) []string {
		known, _ := c.Store(ctx, 100)
		var out []string
		for _, k := range known {
			for _, a := range k.Addresses {
				out = append(out, a.Address+"\tfrom "+a.Source)
			}
		}
		return out
	})(cmd, args, to)
}

// completeKnown suggests the ids of known peers.
func (p *Program) completeKnown(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
	return p.asks(func(ctx context.Context, c *admin.Client) []string {
		known, _ := c.Store(ctx, 100)
		var out []string
		for _, k := range known {
			about := ""
			if len(k.Addresses) > 0 {
				about = k.Addresses[0].Address
			}
			out = append(out, string(k.NodeID)+"\t"+about)
		}
		return out
	})(cmd, args, to)
}

// completeWaiting suggests the ids of peers that are not dialed for now.
func (p *Program) completeWaiting(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
	return p.asks(func(ctx context.Context, c *admin.Client) []string {
		list, _ := c.Waiting(ctx)
		var out []string
		for _, w := range list {
			out = append(out, string(w.NodeID)+"\t"+w.Kind+": "+w.Reason)
		}
		return out
	})(cmd, args, to)
}

// completeBans suggests what is banned.
func (p *Program) completeBans(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
	return p.asks(func(ctx context.Context, c *admin.Client) []string {
		bans, _ := c.Bans(ctx)
		var out []string
		for _, b := range bans {
			out = append(out, b.Target+"\t"+b.Reason)
		}
		return out
	})(cmd, args, to)
}

// completeNetworks suggests the networks that the home and its running node know of.
func (p *Program) completeNetworks(cmd *cobra.Command, _ []string, to string) ([]string, cobra.ShellCompDirective) {
	seen := map[string]bool{}
	var out []string
	add := func(name string) {
		if name != "" && !seen[name] {
			seen[name] = true
			out = append(out, clean(name))
		}
	}
	h := home{p: p, given: func() bool { return cmd.Flags().Changed("home") }}
	h.dir, _ = cmd.Flags().GetString("home")
	if cfg, err := h.config(); err == nil {
		add(cfg.Network)
	}
	suggested, _ := p.asks(func(ctx context.Context, c *admin.Client) []string {
		peers, _ := c.Peers(ctx)
		var names []string
		for _, p := range peers {
			names = append(names, p.Network)
		}
		return names
	})(cmd, nil, to)
	for _, s := range suggested {
		name, _, _ := strings.Cut(s, "\t")
		add(name)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeTopics suggests the relay's topics of the home.
func (p *Program) completeTopics(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	h := home{p: p, given: func() bool { return cmd.Flags().Changed("home") }}
	h.dir, _ = cmd.Flags().GetString("home")
	h.sets, _ = cmd.Flags().GetStringArray("set")
	cfg, err := h.config()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, s := range below(cfg.Effective(p.Plugins...), "services.relay.topics") {
		topics, _ := s.Value.([]string)
		for _, topic := range topics {
			name, _, _ := strings.Cut(topic, "=")
			out = append(out, name)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
