package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestCredentials: the key and the token come from what systemd puts into CREDENTIALS_DIRECTORY.
func TestCredentials(t *testing.T) {
	made := initHome(t)
	home, dir, token := initHome(t), t.TempDir(), strings.Repeat("0123456789abcdef", 4)
	for from, name := range map[string]string{"": "token", filepath.Join(made, "node_key.json"): "key"} {
		data := []byte(token + "\n")
		if from != "" {
			var err error
			if data, err = os.ReadFile(from); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	own := filepath.Join(home, "node_key.json")
	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	set := []string{"--set", "identity.key=credential:key", "--set", "admin.token_file=credential:token"}
	oneLine(t, call(t, append([]string{"id", "--home", home}, set...)...), exitUsage,
		"CREDENTIALS_DIRECTORY is not set")
	fresh := filepath.Join(t.TempDir(), "new")
	if out := must(t, append([]string{"init", "--home", fresh}, set[:2]...)...); !strings.Contains(out,
		"credential:key of the service") {
		t.Errorf("init: %s", out)
	}
	if _, err := os.Stat(filepath.Join(fresh, "node_key.json")); err == nil {
		t.Error("init made a key beside the credential")
	}

	cmd := exec.Command(program, append([]string{"start", "--home", home, "--log-format", "json"}, set...)...)
	cmd.Env = append(os.Environ(), "CREDENTIALS_DIRECTORY="+dir)
	n := startCommandNode(t, home, cmd)
	if id := strings.TrimSpace(must(t, "id", "--home", made)); !strings.Contains(id, n.id) {
		t.Errorf("the node is %s, the key's id %s", n.id, id)
	}
	if n.token != token {
		t.Errorf("the token is %q", n.token)
	}
	must(t, append(n.ask("ban", "192.0.2.1"), set...)...) // the commands read it in the home, as ever
	n.stop(syscall.SIGTERM)
	if _, err := os.Stat(own); err == nil {
		t.Error("a key was made in the home")
	}
	if err := os.Chmod(filepath.Join(dir, "token"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"short": "a token of 5 characters", strings.Repeat("ä", 32): "no ASCII",
	} {
		if err := os.WriteFile(filepath.Join(dir, "token"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("CREDENTIALS_DIRECTORY", dir)
		oneLine(t, call(t, append([]string{"start", "--home", home}, set...)...), exitUsage, want)
	}
	oneLine(t, call(t, "signer", "--home", home, "--listen", "unix://"+filepath.Join(t.TempDir(), "s"), "--key",
		"credential:other"), exitUsage, "LoadCredential=other:FILE")
	oneLine(t, call(t, "id", "--home", home, "--set", "identity.key=credential:../key"), exitUsage, "without slashes")
}
