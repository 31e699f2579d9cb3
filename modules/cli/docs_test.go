package cli

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/modules"
)

func readDoc(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// synopses returns the calls of switchyard in the code blocks of a page, each with the lines that continue it.
func synopses(doc string) []string {
	var out []string
	inside, calls := false, false
	for line := range strings.Lines(doc) {
		switch line = strings.TrimRight(line, "\n"); {
		case strings.HasPrefix(line, "```"):
			inside, calls = !inside, false
		case inside && strings.HasPrefix(line, "switchyard "):
			out, calls = append(out, line), true
		case inside && calls && strings.HasPrefix(line, " "):
			out[len(out)-1] += line
		default:
			calls = false
		}
	}
	return out
}

// common are flags that docs/cli.md describes once for all commands.
var common = []string{"help", "home", "set", "timeout", "json"}

// TestCommandsAreDocumented: docs/cli.md has each command with each of its flags, and no other.
func TestCommandsAreDocumented(t *testing.T) {
	doc := readDoc(t, "cli.md")
	calls := synopses(doc)
	word := func(text, flag string) bool {
		return regexp.MustCompile(regexp.QuoteMeta(flag) + `\b`).MatchString(text)
	}
	known := map[string]bool{}
	paths := map[string]bool{}
	eachCommand(standardProgram().root(), func(c *cobra.Command) {
		var own []string
		for _, call := range calls {
			if call == c.CommandPath() || strings.HasPrefix(call, c.CommandPath()+" ") {
				own = append(own, call)
			}
		}
		paths[c.CommandPath()] = true
		if len(own) == 0 && c.HasParent() {
			t.Errorf("docs/cli.md has no line %q", c.CommandPath())
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			known["--"+f.Name] = true
			in := strings.Join(own, "\n")
			if slices.Contains(common, f.Name) || !c.HasParent() {
				in = doc
			}
			if f.Name != "help" && !word(in, "--"+f.Name) {
				t.Errorf("docs/cli.md: the lines of %q lack --%s", c.CommandPath(), f.Name)
			}
			if f.Name == "json" && len(own) > 0 && !word(strings.Join(own, "\n"), "--json") {
				t.Errorf("docs/cli.md: the lines of %q lack --json", c.CommandPath())
			}
		})
	})
	for _, flag := range regexp.MustCompile(`--[a-z][a-z-]*`).FindAllString(doc, -1) {
		if !known[flag] && flag != "--help" {
			t.Errorf("docs/cli.md names %s, which no command has", flag)
		}
	}
	for _, call := range calls {
		if name := strings.Join(strings.Fields(call)[:2], " "); !paths[name] {
			t.Errorf("docs/cli.md shows %q, which is no command", name)
		}
	}
	// Exit codes: all are told, with their meaning's first word, and no other.
	codes := regexp.MustCompile(`Exit codes: ([^.]*)\.`).FindStringSubmatch(doc)
	if codes == nil {
		t.Fatal("docs/cli.md tells no exit codes")
	}
	numbers := regexp.MustCompile(`\b\d\b`).FindAllString(codes[1], -1)
	var want []string
	for _, e := range exitCodes {
		want = append(want, fmt.Sprint(e.code))
	}
	if slices.Sort(numbers); !slices.Equal(numbers, want) {
		t.Errorf("docs/cli.md tells the exit codes %v, the program has %v", numbers, want)
	}
}

// TestKeysAreDocumented: docs/configuration.md has each key and no other, and names only variables that there are.
func TestKeysAreDocumented(t *testing.T) {
	doc := readDoc(t, "configuration.md")
	keys := modules.Keys(standardProgram().Plugins...)
	known, leaves, sections := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, k := range keys {
		known[k.Name] = true
		parts := strings.Split(k.Name, ".")
		leaves[parts[len(parts)-1]] = true
		for i := range parts {
			sections[strings.Join(parts[:i], ".")] = true
		}
	}
	// rows of the tables of plug-ins by their table, such as services.relay
	rows := map[string]string{}
	for line := range strings.Lines(doc) {
		if m := regexp.MustCompile("^\\| `([a-z_]+\\.[a-z0-9_]+)` \\|").FindStringSubmatch(line); m != nil {
			rows[m[1]] += line
		}
	}
	for _, k := range keys {
		parts := strings.Split(k.Name, ".")
		leaf := "`" + parts[len(parts)-1] + "`"
		switch {
		case strings.Contains(doc, "`"+k.Name+"`"), k.Name == "discovery" && strings.Contains(doc, "`discovery = []`"):
		case len(parts) > 2 && strings.Contains(rows[strings.Join(parts[:2], ".")], leaf):
		case len(parts) > 2 && parts[len(parts)-1] == "enabled" && rows[strings.Join(parts[:2], ".")] != "":
		case parts[0] == "discovery" && len(parts) == 3 && describes(doc, parts[1], parts[2]):
		default:
			t.Errorf("docs/configuration.md lacks %s", k.Name)
		}
	}
	for _, m := range regexp.MustCompile("`([a-z_]+(?:\\.[a-z0-9_]+)+)(?: ?=[^`]*)?`").FindAllStringSubmatch(doc, -1) {
		name := m[1]
		section, _, _ := strings.Cut(name, ".")
		if !sections[section] || known[name] || sections[name] || name == admin.TokenName || name == "security.noise" {
			continue
		}
		t.Errorf("docs/configuration.md names %s, which is no key", name)
	}
	for table, text := range rows {
		if !sections[table] {
			continue
		}
		for _, m := range regexp.MustCompile("`([a-z]+_[a-z_]+)`").FindAllStringSubmatch(text, -1) {
			if !leaves[m[1]] {
				t.Errorf("docs/configuration.md: %s has no key %s", table, m[1])
			}
		}
	}
	var variables []string
	for _, k := range keys {
		variables = append(variables, modules.EnvName("SWITCHYARD", k.Name))
	}
	for _, v := range standardProgram().variables() {
		variables = append(variables, v[0])
		if !strings.Contains(doc, "`"+v[0]) && v[0] != "SWITCHYARD_SECTION_KEY" {
			t.Errorf("docs/configuration.md lacks the variable %s", v[0])
		}
	}
	for _, page := range []string{"configuration.md", "cli.md"} {
		for _, v := range regexp.MustCompile(`\bSWITCHYARD_[A-Z0-9_]+\b`).FindAllString(readDoc(t, page), -1) {
			if v = strings.TrimSuffix(v, "_"); !slices.Contains(variables, v) && v != "SWITCHYARD" {
				t.Errorf("docs/%s names the variable %s, which there is not", page, v)
			}
		}
	}
}

// describes reports whether the page has a block of a source with a key.
func describes(doc, use, key string) bool {
	for block := range strings.SplitSeq(doc, "[[discovery]]") {
		head, _, _ := strings.Cut(block, "```")
		if strings.Contains(head, `use = "`+use+`"`) && regexp.MustCompile(`(?m)^#? ?`+key+` *=`).MatchString(head) {
			return true
		}
	}
	return strings.Contains(doc, "`discovery."+use+"`") || strings.Contains(doc, "`"+key+"`")
}
