package deploy

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/modules/cli"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

var units = []string{"deploy/systemd/switchyard.service", "deploy/systemd/switchyard@.service"}

// The template is the unit with %i in what must differ.
func TestTemplate(t *testing.T) {
	body := func(path string) string {
		_, text, _ := strings.Cut(read(t, path), "[Unit]")
		return text
	}
	alone := strings.NewReplacer("-%i", "", " %i", "").Replace(body(units[1]))
	if alone != body(units[0]) {
		t.Errorf("%s is not %s with %%i", units[1], units[0])
	}
}

// systemd accepts the units, and rates their exposure at 2.0 of 10 or less.
func TestUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skipf("%v: make deploy-check installs it", err)
	}
	for _, unit := range units {
		out, err := exec.Command("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20",
			filepath.Join(root, unit)).CombinedOutput()
		level := regexp.MustCompile(`(?m)^→ Overall exposure level .*$`).Find(out)
		if err != nil || level == nil {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
		t.Logf("%s", level)
		// With a program that is there, so that it is not what is wrong.
		name := strings.Replace(filepath.Base(unit), "@.", "@one.", 1)
		file := filepath.Join(t.TempDir(), name)
		text := strings.ReplaceAll(read(t, unit), "/usr/bin/switchyard", "/bin/true")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err = exec.Command("systemd-analyze", "verify", "--no-pager", "--man=no", file).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, name) {
				t.Errorf("%s: %s", unit, line)
			}
		}
		if err != nil && strings.Contains(string(out), name) {
			t.Error(err)
		}
	}
}

// systemd listens for the admin API, and passes the socket on.
func TestSocketUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skipf("%v: make deploy-check installs it", err)
	}
	dir := t.TempDir()
	for _, name := range []string{"switchyard.socket", "switchyard.service"} {
		text := strings.ReplaceAll(read(t, "deploy/systemd/"+name), "/usr/bin/switchyard", "/bin/true")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("systemd-analyze", "verify", "--no-pager", "--man=no",
		filepath.Join(dir, "switchyard.socket")).CombinedOutput()
	if strings.Contains(string(out), "switchyard.socket") || err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// The commands and flags that the files below deploy/ call are those of the program.
func TestCommands(t *testing.T) {
	calls := regexp.MustCompile(`/usr/bin/switchyard"?,?((?: "?[a-z-][a-z-]*"?| \$\{STATE_DIRECTORY\})+)`)
	found := 0
	for _, path := range append(units, "deploy/container/Containerfile") {
		for _, m := range calls.FindAllStringSubmatch(read(t, path), -1) {
			args := strings.Fields(strings.NewReplacer(`"`, "", "${STATE_DIRECTORY}", t.TempDir()).Replace(m[1]))
			if args[0] == "/usr/bin/switchyard" || strings.HasPrefix(args[0], "-") {
				continue
			}
			found++
			var out bytes.Buffer
			program := cli.Program{Name: "switchyard", Plugins: standard.Plugins()}
			code := program.Run(context.Background(), append(args, "--help"), strings.NewReader(""), &out, &out)
			if code != 0 || !strings.Contains(out.String(), "Usage:") {
				t.Errorf("%s calls switchyard %v: %d\n%s", path, args, code, out.String())
			}
		}
	}
	// What the nodes of the compose file get: settings by variables and by flags.
	compose := read(t, "deploy/container/compose.yaml")
	start := regexp.MustCompile(`command: \["start", "--set", '(.*)'\]`).FindStringSubmatch(compose)
	variables := regexp.MustCompile(`(?m)^    (SWITCHYARD_[A-Z_]+): "?([^"\n]+)"?$`).FindAllStringSubmatch(compose, -1)
	if len(start) != 2 || len(variables) != 2 {
		t.Fatalf("%q, %q", start, variables)
	}
	home := t.TempDir()
	for _, v := range variables {
		t.Setenv(v[1], v[2])
	}
	for _, args := range [][]string{{"init"}, {"init"}, {"check", "--set", start[1]}} {
		var out bytes.Buffer
		program := cli.Program{Name: "switchyard", Plugins: standard.Plugins()}
		code := program.Run(context.Background(), append(args, "--home", home), strings.NewReader(""), &out, &out)
		if code != 0 {
			t.Errorf("%v: %d\n%s", args, code, out.String())
		}
		t.Log(out.String())
	}
	if found < 7 {
		t.Errorf("%d calls were found", found)
	}
}
