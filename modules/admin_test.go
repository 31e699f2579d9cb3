package modules

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/host/admin"
)

func TestBadAdminSettings(t *testing.T) {
	for set, want := range map[string]string{
		"admin.address=0.0.0.0:26670":       `--set: admin.address: other machines reach "0.0.0.0:26670"`,
		"admin.address=[2001:db8::1]:1":     `--set: admin.address: other machines reach `,
		"admin.protect=some":                `--set: admin.protect: "some": want writes, all or none`,
		"admin.socket_mode=0666":            `--set: admin.socket_mode: "0666": want 0600, or 0660`,
		"admin.group=wheel":                 `--set: admin.group: a group needs admin.socket_mode = "0660"`,
		"admin.group=wheel;socket_mode":     `--set: admin.group: only a socket has a group`,
		"admin.protect=none;insecure":       `--set: admin.protect: an API that other machines reach does not do`,
		"admin.address=0.0.0.0:1;insecure":  "",
		"admin.address=unix:///run/x;group": "",
	} {
		set, more, _ := strings.Cut(set, ";")
		sets := []string{set}
		switch more {
		case "socket_mode":
			sets = append(sets, "admin.socket_mode=0660")
		case "insecure":
			sets = append(sets, "admin.insecure_remote=true")
		case "group":
			sets = append(sets, "admin.socket_mode=0660", "admin.group=wheel")
		}
		_, err := load(t, "", sets...)
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%v: %v, want %q", sets, err, want)
		}
	}
}

// TestAdminToken: the token of a node is in its home while it runs, and AdminClient sends it.
func TestAdminToken(t *testing.T) {
	c := quiet(t)
	c.Admin.Address = "127.0.0.1:0"
	path := filepath.Join(c.Home, admin.TokenName)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := Run(ctx, Node(c, realPlugins(nil)...), fx.Invoke(func(lc fx.Lifecycle, a *admin.Server) {
		lc.Append(fx.StartHook(func() error {
			defer cancel()
			c := c
			c.Admin.Address = a.Addr().String()
			client, err := c.AdminClient()
			if err != nil {
				return err
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
			_, err = client.Ban(ctx, "192.0.2.1", time.Hour, "")
			return err
		}))
	}))
	if err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the token is still there: %v", err)
	}
}
