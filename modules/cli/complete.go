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

// values suggests values for arguments and flags in a shell.
type values struct{ *Program }

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

// keys suggests KEY= for --set.
func (p values) keys(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
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

// keyArgs suggests keys for an argument.
func (p values) keyArgs(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
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
func (p values) asks(list func(context.Context, *admin.Client) []string) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		h := home{p: p.Program, given: func() bool { return cmd.Flags().Changed("home") }, timeout: completing}
		h.dir, _ = cmd.Flags().GetString("home")
		h.sets, _ = cmd.Flags().GetStringArray("set")
		c, err := h.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completing)
		defer cancel()
		out := list(ctx, c)
		for i := range out { // monikers are of remotes
			value, about, _ := strings.Cut(out[i], "\t")
			out[i] = clean(value) + "\t" + clean(about)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// peers suggests the ids of linked peers.
func (p values) peers(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
	return p.asks(func(ctx context.Context, c *admin.Client) []string {
		peers, _ := c.Peers(ctx)
		var out []string
		for _, p := range peers {
			out = append(out, string(p.NodeID)+"\t"+p.Moniker+" "+p.IP)
		}
		return out
	})(cmd, args, to)
}

// addresses suggests addresses of known peers.
func (p values) addresses(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
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

// known suggests the ids of known peers.
func (p values) known(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
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

// waiting suggests the ids of peers that are not dialed for now.
func (p values) waiting(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
	return p.asks(func(ctx context.Context, c *admin.Client) []string {
		list, _ := c.Waiting(ctx)
		var out []string
		for _, w := range list {
			out = append(out, string(w.NodeID)+"\t"+w.Kind+": "+w.Reason)
		}
		return out
	})(cmd, args, to)
}

// bans suggests what is banned.
func (p values) bans(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
	return p.asks(func(ctx context.Context, c *admin.Client) []string {
		bans, _ := c.Bans(ctx)
		var out []string
		for _, b := range bans {
			out = append(out, b.Target+"\t"+b.Reason)
		}
		return out
	})(cmd, args, to)
}

// networks suggests the networks that the home and its running node know of.
func (p values) networks(cmd *cobra.Command, _ []string, to string) ([]string, cobra.ShellCompDirective) {
	seen := map[string]bool{}
	var out []string
	add := func(name string) {
		if name != "" && !seen[name] {
			seen[name] = true
			out = append(out, clean(name))
		}
	}
	h := home{p: p.Program, given: func() bool { return cmd.Flags().Changed("home") }}
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

// topics suggests the relay's topics of the home.
func (p values) topics(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	h := home{p: p.Program, given: func() bool { return cmd.Flags().Changed("home") }}
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
