package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

// from matches the comment above a block of Go that names its source.
var from = regexp.MustCompile(`^<!-- from (\S+) -->$`)

// compiled are the folders outside of the main module, or below testdata, whose Go files a test builds.
var compiled = []string{"docs/examples/", "modules/cometbft/", "modules/cli/testdata/greeter/"}

// Each block of Go is part of a file that is compiled. A line "..." or "// ..." leaves out any number of lines of it.
func TestGo(t *testing.T) {
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language != "go" {
				continue
			}
			m := from.FindStringSubmatch(b.above)
			if m == nil {
				t.Errorf("%s:%d: name the source of this Go in the line above: <!-- from PATH -->", p.path, b.line)
				continue
			}
			inModule := func(dir string) bool { return strings.HasPrefix(m[1], dir) }
			if strings.Contains(m[1], "testdata/") && !slices.ContainsFunc(compiled, inModule) {
				t.Errorf("%s:%d: %s is not compiled by any test", p.path, b.line, m[1])
			}
			source, err := os.ReadFile(filepath.Join(root, m[1]))
			if err != nil {
				t.Errorf("%s:%d: %v", p.path, b.line, err)
				continue
			}
			if missing := missing(b.text, string(source)); missing != "" {
				t.Errorf("%s:%d: not in %s:\n%s", p.path, b.line, m[1], missing)
			}
		}
	}
}

// missing returns the first line of a snippet that does not follow in the source where the line before it does.
// Indentation does not count.
func missing(snippet, source string) string {
	want, have := lines(snippet), lines(source)
	for at := 0; len(want) > 0; {
		n := slices.IndexFunc(want, func(l string) bool { return l == "..." || l == "// ..." })
		part := want
		if n >= 0 {
			part, want = want[:n], want[n+1:]
		} else {
			want = nil
		}
		best, found := 0, -1
		for i := at; i+len(part) <= len(have); i++ {
			same := 0
			for same < len(part) && part[same] == have[i+same] {
				same++
			}
			if same == len(part) {
				found = i
				break
			}
			best = max(best, same)
		}
		if found < 0 {
			return part[best]
		}
		at = found + len(part)
	}
	return ""
}

// lines are the lines of a text without their indentation, and without empty ones at both ends.
func lines(text string) []string {
	out := strings.Split(strings.Trim(text, "\n"), "\n")
	for i, l := range out {
		out[i] = strings.TrimSpace(l)
	}
	return out
}

func TestMissing(t *testing.T) {
	source := "a\n\tb\n\tc\nd\ne\n"
	for snippet, want := range map[string]string{
		"a\nb\n": "", "b\nc\nd\n": "", "a\n...\nd\n": "", "a\n// ...\n\te\n": "", "a\nc\n": "c",
		"d\n...\na\n": "a", "x\n": "x",
	} {
		if got := missing(snippet, source); got != want {
			t.Errorf("missing(%q) = %q, want %q", snippet, got, want)
		}
	}
}

// otherPlugin stands above TOML that a node with the stock plug-ins alone does not read.
const otherPlugin = "<!-- of a plug-in of its own -->"

// Each block of TOML is a configuration that a node accepts, and so is each line that begins with a key in brackets.
func TestTOML(t *testing.T) {
	n := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language != "toml" || b.above == otherPlugin {
				continue
			}
			n++
			file := filepath.Join(t.TempDir(), "config.toml")
			text := b.text
			for placeholder, value := range placeholders {
				text = strings.ReplaceAll(text, placeholder, value)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := modules.Load(file, nil, standard.Plugins()...); err != nil {
				t.Errorf("%s:%d: %v", p.path, b.line, err)
			}
		}
	}
	if n == 0 {
		t.Error("no TOML was found")
	}
}

// placeholders stand for what the reader fills in.
var placeholders = map[string]string{
	"12D3Koo...": "12D3KooWLvko4PgHEdUNMeLxQoueeDdWeX6gH62MPwmKhqfgfm5Q",
	"ID@HOST":    "3fff8ce1b4ba4011be921f1442e1dacb80df4c63@node.example.com",
	"<id>":       "3fff8ce1b4ba4011be921f1442e1dacb80df4c63",
}
