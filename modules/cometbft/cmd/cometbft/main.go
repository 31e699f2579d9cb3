// Command cometbft is CometBFT's program over Switchyard: the same commands, flags and home, and a node whose peers are
// Switchyard's. See package cometbft, and docs/cometbft.md.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/cometbft/cometbft/cmd/cometbft/commands"
	cometdebug "github.com/cometbft/cometbft/cmd/cometbft/commands/debug"
	"github.com/cometbft/cometbft/libs/cli"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/version"
	"github.com/spf13/cobra"

	"github.com/switchyard-p2p/switchyard/modules/cometbft"
	"github.com/switchyard-p2p/switchyard/modules/cometbft/internal/reset"
)

func main() {
	root := commands.RootCmd
	reset.Peers(commands.ResetAllCmd)
	root.AddCommand(
		commands.GenValidatorCmd, commands.InitFilesCmd, commands.LightCmd, commands.ResetAllCmd,
		commands.ResetPrivValidatorCmd, commands.ResetStateCmd, commands.ShowValidatorCmd, commands.TestnetFilesCmd,
		commands.ShowNodeIDCmd, commands.GenNodeKeyCmd, commands.RollbackStateCmd, commands.CompactGoLevelDBCmd,
		commands.InspectCmd, cometdebug.DebugCmd, versionCmd(), cli.NewCompletionCmd(root, true),
		commands.NewRunNodeCmd(newNode),
	)
	root.AddCommand(older()...)
	home := os.ExpandEnv(filepath.Join("$HOME", ".cometbft"))
	if err := cli.PrepareBaseCmd(root, "CMT", home).Execute(); err != nil {
		os.Exit(1) // it has been printed
	}
}

// options are the node's options: it runs over Switchyard, and the program ends when that fails.
func options(key *p2p.NodeKey) []node.Option {
	return []node.Option{cometbft.Option(cometbft.Options{NodeKey: key, Failed: func(err error) {
		fmt.Fprintln(os.Stderr, "ERROR:", err)
		os.Exit(1)
	}})}
}

// versionCmd is CometBFT's version command, which says Switchyard's version, too, behind CometBFT's.
func versionCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Show version info"}
	verbose := cmd.Flags().BoolP("verbose", "v", false, "Show protocol and library versions")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !*verbose {
			fmt.Printf("%s\nswitchyard %s\n", cometbft.Version, ourVersion())
			return nil
		}
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			CometBFT      string `json:"cometbft"`
			ABCI          string `json:"abci"`
			BlockProtocol uint64 `json:"block_protocol"`
			P2PProtocol   uint64 `json:"p2p_protocol"`
			Switchyard    string `json:"switchyard"`
		}{cometbft.Version, version.ABCISemVer, version.BlockProtocol, version.P2PProtocol, ourVersion()})
	}
	return cmd
}

// ourVersion returns the version of this program's module, or the commit that it was built from.
func ourVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(len(s.Value), 12)]
		}
	}
	return "devel"
}
