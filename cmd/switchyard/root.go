package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/peerstore/badger"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError says that the call itself is wrong.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// run is the program: it executes the command that args name and returns its exit code. The first SIGINT or SIGTERM ends ctx, so that the command stops
// cleanly; the second quits at once.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer onSignals(cancel)()

	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(stderr, "switchyard: %s\n", message(err))
	return exitCode(err)
}

// sameSignal is how soon after the first a signal is still the same one: some that start us send it to us and to our process group.
const sameSignal = 300 * time.Millisecond

// onSignals calls cancel at the first signal and quits at the second. The function that it returns gives the signals back.
func onSignals(cancel func()) func() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	over := make(chan struct{})
	go func() {
		select {
		case <-signals:
		case <-over:
			return
		}
		first := time.Now()
		cancel()
		for {
			select {
			case <-signals:
				if time.Since(first) > sameSignal {
					os.Exit(exitFailed)
				}
			case <-over:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(over)
	}
}

func exitCode(err error) int {
	var call *usageError
	var cfg *modules.ConfigError
	if errors.As(err, &call) || errors.As(err, &cfg) && cfg.Where == "--set" {
		return exitUsage
	}
	return exitFailed
}

// message is an error on one line, with how to mend it where we know and the error does not say.
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

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "switchyard",
		Short: "A peer-to-peer node that speaks CometBFT's wire and libp2p's",
		Long: "switchyard runs a peer-to-peer node and looks after it.\n\n" +
			"Start with\n  switchyard demo                      a network of nodes on this machine\n" +
			"  switchyard init && switchyard start  a node of your own",
		SilenceUsage: true, SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := ""
			if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
				hint = fmt.Sprintf(" (did you mean %s?)", s[0])
			}
			return usage("unknown command %q%s; switchyard help lists the commands", args[0], hint)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%w; %s --help lists the flags", err, cmd.CommandPath())
	})
	root.AddCommand(initCommand(), startCommand(), idCommand(), statusCommand(), peersCommand(), dialCommand(), pingCommand(), echoCommand(),
		banCommand(), unbanCommand(), storeCommand(), demoCommand(), versionCommand(), completionCommand())
	return root
}

// takes checks the number of arguments: names are what they stand for.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usage("%s: %s is missing; want %s %s", cmd.Name(), names[len(args)], cmd.CommandPath(), strings.Join(names, " "))
		case len(args) > len(names):
			return usage("%s: unexpected argument %q; want %s", cmd.Name(), args[len(names)], strings.TrimSpace(cmd.CommandPath()+" "+strings.Join(names, " ")))
		}
		return nil
	}
}

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: takes(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"version": versionText()})
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "switchyard", versionText())
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print a script that completes switchyard's commands in your shell",
		Long:      "Print a script for bash, zsh, fish or powershell. For bash: source <(switchyard completion bash)",
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
