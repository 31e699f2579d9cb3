package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/peerstore/badger"
)

func usage(format string, args ...any) error {
	return &modules.UsageError{Err: fmt.Errorf(format, args...)}
}

func exitCode(err error) int {
	var call *modules.UsageError
	var cfg *modules.ConfigError
	if errors.As(err, &call) ||
		errors.As(err, &cfg) && (strings.HasPrefix(cfg.Where, "--") || strings.HasPrefix(cfg.Where, "$")) {
		return exitUsage
	}
	if _, partial := errors.AsType[*partialError](err); partial {
		return exitPartial
	}
	return exitFailed
}

// message returns an error in one line, with a hint how to fix it where the error has none.
func message(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	var hint string
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another program has that port: stop it, or set listen.addresses or admin.address to another"
	case errors.Is(err, badger.ErrInUse):
		hint = "does the node run already? Then stop it, or set store.path to another folder"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "this machine does not have that address"
	case errors.Is(err, syscall.ENOSPC):
		hint = "free some space"
	case errors.Is(err, fs.ErrPermission):
		hint = "check the owner and the permissions"
	}
	if hint != "" {
		text += " (" + hint + ")"
	}
	return text
}

// root returns the tree of commands.
func (p *Program) root() *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use:   p.Name,
		Short: "A peer-to-peer node that speaks CometBFT's wire and libp2p's",
		Long: fmt.Sprintf("%[1]s runs a peer-to-peer node and looks after it.\n\n"+
			"Start with\n"+
			"  %[1]s demo%[2]s  a network of nodes on this machine\n"+
			"  %[1]s init && %[1]s start  a node of your own",
			p.Name, strings.Repeat(" ", len(p.Name)+len("init &&  start")-len("demo"))),
		SilenceUsage: true, SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := ""
			if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
				hint = fmt.Sprintf(" (did you mean %s?)", s[0])
			}
			return usage("unknown command %q%s; %s help lists the commands", args[0], hint, p.Name)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if version {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), p.Name, p.Version)
				return err
			}
			return cmd.Help()
		},
	}
	root.Flags().BoolVar(&version, "version", false, "print the version; the command version says more")
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%w; %s --help lists the flags", err, cmd.CommandPath())
	})
	of := running{p}
	root.AddCommand(p.initCommand(), p.startCommand(), p.idCommand(), of.statusCommand(), of.peersCommand(),
		p.dialCommand(), p.pingCommand(), p.echoCommand(), of.banCommand(), of.unbanCommand(), of.protectCommand(),
		of.publishCommand(), p.storeCommand(), p.signerCommand(), p.demoCommand(), p.syncCommand(), p.versionCommand(),
		p.completionCommand(), p.checkCommand(), p.configCommand(), of.reloadCommand(), of.healthzCommand(),
		of.connectCommand(), of.disconnectCommand(), of.bansCommand(), p.reasonsCommand(), p.manCommand(),
		p.doctorCommand(), of.eventsCommand(), of.waitingCommand(), of.clearCommand(), of.forgetCommand(),
		crawlCommand(p))
	for _, spec := range modules.Commands(p.Plugins) {
		for _, stock := range root.Commands() {
			if stock.Name() == spec.Name {
				root.RemoveCommand(stock)
			}
		}
		root.AddCommand(p.pluginCommand(spec))
	}
	return root
}

// running has the commands that ask the running node.
type running struct{ *Program }

// takes checks the number of arguments; names are their names in the help text.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usage("%s: %s is missing; want %s %s", cmd.Name(), names[len(args)], cmd.CommandPath(),
				strings.Join(names, " "))
		case len(args) > len(names):
			return usage("%s: unexpected argument %q; want %s", cmd.Name(), args[len(names)],
				strings.TrimSpace(cmd.CommandPath()+" "+strings.Join(names, " ")))
		}
		return nil
	}
}

// atMost checks the number of arguments, all of which are optional.
func atMost(n int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usage("%s: unexpected argument %q; want %s [%s]", cmd.Name(), args[n], cmd.CommandPath(),
				strings.Join(names, " "))
		}
		return nil
	}
}

// orElse returns text, or what stands for none.
func orElse(text, none string) string {
	if text == "" {
		return none
	}
	return text
}

func (p *Program) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print a script that completes these commands in your shell",
		Long: "Print a script for bash, zsh, fish or powershell. For bash: source <(" + p.Name +
			" completion bash)",
		Args:      takes("SHELL"),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(out)
			case "fish":
				return cmd.Root().GenFishCompletion(out, true)
			case "powershell":
				return cmd.Root().GenPowerShellCompletionWithDesc(out)
			}
			return usage("completion: unknown shell %q (known: %s)", args[0], strings.Join(shells, ", "))
		},
	}
}
