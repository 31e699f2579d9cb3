//go:build compat

package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// releases lists releases of CometBFT that run in networks today, besides the one that this module requires. Building
// them takes minutes, so `make compat` runs this.
var releases = []struct {
	version string
	drop    []string // replacements in its go.mod that module proxies no longer serve; the replaced modules do as well
}{
	{"v0.34.35", []string{"github.com/adlio/schema@v1.3.6", "github.com/go-kit/kit@v0.13.0",
		"github.com/spf13/afero@v1.11.0"}},
	{"v0.37.15", nil},
	{"v0.38.26", nil},
	{"v1.0.1", nil},
}

// TestReleases runs our program beside full nodes of other releases.
func TestReleases(t *testing.T) {
	for _, r := range releases {
		t.Run(r.version, func(t *testing.T) { testFullNode(t, buildRelease(t, r.version, r.drop)) })
	}
}

// buildRelease builds a release from its own source, with its own dependencies, once for all runs.
func buildRelease(t *testing.T, version string, drop []string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", ".cache", "compat", version, "cometbft"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	source := t.TempDir()
	var module struct{ Dir string }
	out, err := exec.Command("go", "mod", "download", "-json", "github.com/cometbft/cometbft@"+version).Output()
	if err != nil {
		t.Fatalf("download CometBFT %s: %v\n%s", version, err, out)
	}
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(source, os.DirFS(module.Dir)); err != nil {
		t.Fatal(err)
	}
	edit := []string{"mod", "edit"}
	for _, d := range drop {
		edit = append(edit, "-dropreplace", d)
	}
	steps := [][]string{edit, {"build", "-mod=mod", "-ldflags", "-s -w", "-o", path, "./cmd/cometbft"}}
	if len(drop) == 0 {
		steps = steps[1:]
	}
	for _, args := range steps {
		cmd := exec.Command("go", args...)
		cmd.Dir = source
		cmd.Env = append(os.Environ(), "GOWORK=off") // CometBFT 1.0 has a workspace
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("CometBFT %s: go %v: %v\n%s", version, args, err, out)
		}
	}
	return path
}
