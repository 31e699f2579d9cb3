package modules

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/transport"
)

// writeConfig writes a config.toml in a new folder.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestReload changes the file of a node: live keys are applied, others named, and a mistake changes nothing.
func TestReload(t *testing.T) {
	const head = "[listen]\naddresses = ['/ip4/127.0.0.1/tcp/0']\n[store]\npath = ''\n[admin]\naddress = ''\n"
	path := writeConfig(t, head)
	plugins := realPlugins(newMachine("127.0.0.1"))
	load := Loader(func() (Config, error) { return Load(path, nil, plugins...) })
	cfg, err := load()
	if err != nil {
		t.Fatal(err)
	}
	var r *Reloader
	var h *host.Host
	level := new(slog.LevelVar)
	app := fx.New(Node(cfg, plugins...), fx.Supply(load, level), fx.Populate(&r, &h))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := app.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	for _, tt := range []struct{ name, text, applied, restart, err string }{
		{"nothing", head, "[]", "[]", ""},
		{"live", head + "[peers]\nmax_outbound = 3\npersistent = ['" + testAddr + "']\n[log]\nlevel = 'debug'\n",
			"[peers.persistent peers.max_outbound log.level]", "[]", ""},
		{"again", head + "[peers]\nmax_outbound = 3\npersistent = ['" + testAddr + "']\n[log]\nlevel = 'debug'\n",
			"[]", "[]", ""},
		{"a mistake", head + "[peers]\nmax_outbound = 4\nmax_inbond = 5\n", "", "", "did you mean max_inbound?"},
		{"a limit", head + "[peers]\nmax_outbound = 4\n[limits]\nhandshakes = 2\nhandshakes_per_ip = 3\n", "", "",
			"more than limits.handshakes"},
		{"both kinds", "moniker = 'new'\n" + head + "[peers]\nmax_outbound = 4\n[services.echo]\nenabled = true\n" +
			"[[discovery]]\nuse = 'pex'\nseed = true\n",
			"[peers.persistent peers.max_outbound log.level]",
			"[moniker discovery.pex.seed services.echo.enabled]", ""},
		{"still", "moniker = 'new'\n" + head + "[peers]\nmax_outbound = 4\n", "[]", "[moniker]", ""},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := r.Reload()
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: got %v", tt.name, err)
			}
		} else if got := fmt.Sprint(out.Applied, out.Restart); err != nil || got != tt.applied+" "+tt.restart &&
			got != tt.applied+tt.restart {
			t.Errorf("%s: got %s, %v", tt.name, got, err)
		}
		if tt.name == "live" {
			st, ok := h.PeerManager().Status(testID)
			if !ok || !st.Trusted || level.Level() != slog.LevelDebug {
				t.Errorf("the new persistent peer: %+v, %v; level %v", st, ok, level.Level())
			}
		}
	}
	if st, _ := h.PeerManager().Status(testID); st.Trusted || level.Level() != slog.LevelInfo {
		t.Errorf("a peer that is no longer persistent: %+v; level %v", st, level.Level())
	}
	for _, s := range r.Effective() {
		if s.Key == "moniker" && (s.Value != "switchyard" || s.From != "default") ||
			s.Key == "peers.max_outbound" && (fmt.Sprint(s.Value) != "4" || s.Where != "config.toml:9" || !s.Live) {
			t.Errorf("in force: %+v", s)
		}
	}
}

// TestReloadKeepsRoles: what an operator has said of peers at the running node outlives a reload.
func TestReloadKeepsRoles(t *testing.T) {
	path := writeConfig(t, "[listen]\naddresses = []\n[store]\npath = ''\n[admin]\naddress = ''\n")
	plugins := realPlugins(newMachine("127.0.0.1"))
	load := Loader(func() (Config, error) { return Load(path, []string{"peers.guests=7"}, plugins...) })
	cfg, err := Load(path, nil, plugins...)
	if err != nil {
		t.Fatal(err)
	}
	var r *Reloader
	var h *host.Host
	if err := fx.New(Node(cfg, plugins...), fx.Supply(load), fx.Populate(&r, &h)).Err(); err != nil {
		t.Fatal(err)
	}
	id := transport.NodeID(testID)
	if err := h.PeerManager().SetRole(id, peers.Role{Private: true}); err != nil {
		t.Fatal(err)
	}
	if out, err := r.Reload(); err != nil || fmt.Sprint(out.Applied) != "[peers.guests]" {
		t.Errorf("%+v, %v", out, err)
	}
	if st, _ := h.PeerManager().Status(id); !st.Private {
		t.Errorf("%+v", st)
	}
}
