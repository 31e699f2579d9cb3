package modules

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestGivenPluginThatTheBuildLacks shows that a list which somebody wrote is refused, with its place and what the build
// has, even if it is that of the defaults; and that the file of this build lists what it has.
func TestGivenPluginThatTheBuildLacks(t *testing.T) {
	old := Without(catalogue(), "quic")
	for _, set := range []string{`stack.transports=["tcp","quic"]`, `stack.transports=["quic","tcp"]`} {
		c := Default()
		if err := c.Set(set); err != nil {
			t.Fatal(err)
		}
		err := c.Validate(old...)
		for _, want := range []string{"--set", "stack.transports", `"quic"`, "no such transport", "tcp"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v: lacks %s", set, err, want)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte("[stack]\ntransports = [\"tcp\", \"quic\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path, nil, old...)
	if err == nil || !strings.Contains(err.Error(), "config.toml:2: stack.transports") {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(path, Render(Default(), old...), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, nil, old...)
	if err != nil || !slices.Equal(c.Stack.Transports, []string{"tcp"}) {
		t.Errorf("%v, %v", c.Stack.Transports, err)
	}
	if c, err := Load(path, []string{`stack.wires=["comet"]`}, old...); err != nil {
		t.Errorf("%v, %v", c.Fit(old...).Stack, err)
	}
}
