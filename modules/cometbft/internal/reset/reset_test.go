package reset

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cometbft/cometbft/cmd/cometbft/commands"
	"github.com/spf13/cobra"
)

func TestReset(t *testing.T) {
	root := &cobra.Command{Use: "test"}
	root.PersistentFlags().String("home", "", "")
	root.AddCommand(commands.ResetAllCmd)
	Peers(commands.ResetAllCmd)
	const own = "data/switchyard-peers/file"
	for _, c := range []struct {
		name, toml string
		keep       bool
		kept       map[string]bool
		says       string
	}{
		{name: "all", kept: map[string]bool{own: false, "config/addrbook.json": false}},
		{name: "but the address book", keep: true,
			kept: map[string]bool{own: true, "config/addrbook.json": true}},
		{name: "a store elsewhere", toml: "store.path = \"peers\"", says: "stay",
			kept: map[string]bool{"peers/file": true, "config/addrbook.json": false}},
		{name: "a store elsewhere, kept", toml: "store.path = \"peers\"", keep: true,
			kept: map[string]bool{"peers/file": true, "config/addrbook.json": true}},
		{name: "no store", toml: "store.path = \"\"", keep: true,
			kept: map[string]bool{own: false, "config/addrbook.json": true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := t.TempDir()
			for _, name := range []string{own, "data/blockstore.db/file", "peers/file", "config/addrbook.json",
				"config/node_key.json", "config/switchyard.toml"} {
				path := filepath.Join(home, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(c.toml), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out bytes.Buffer
			root.SetErr(&out)
			root.SetArgs([]string{"unsafe-reset-all", "--home", home, fmt.Sprintf("--keep-addr-book=%t", c.keep)})
			if err := root.Execute(); err != nil {
				t.Fatal(err)
			}
			c.kept["config/node_key.json"], c.kept["config/switchyard.toml"] = true, true
			c.kept["data/blockstore.db/file"], c.kept["data/priv_validator_state.json"] = false, true
			for name, want := range c.kept {
				if _, err := os.Stat(filepath.Join(home, name)); (err == nil) != want {
					t.Errorf("%s is there: %t, want %t", name, err == nil, want)
				}
			}
			if !strings.Contains(out.String(), c.says) || c.says == "" && out.Len() > 0 {
				t.Errorf("it says %q", out.String())
			}
			if names, _ := filepath.Glob(filepath.Join(home, "data-*")); len(names) > 0 {
				t.Errorf("%v is left", names)
			}
		})
	}
}

// A reset that was killed while the peers were aside gives them back the next time.
func TestResetAgain(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	store := filepath.Join(data, "switchyard-peers")
	if err := os.MkdirAll(data+"-switchyard-peers", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := aside(store, data, func() error { return os.RemoveAll(data) }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(store); err != nil {
		t.Fatal(err)
	}
}
