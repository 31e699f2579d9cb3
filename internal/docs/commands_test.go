package docs

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/cli"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

// call is a command line that a document shows: of switchyard or of make.
type call struct {
	page  string
	line  int
	words []string // the first one is the program, without its folder
}

var (
	// inline matches code in the text.
	inline = regexp.MustCompile("`([^`]+)`")
	// comment is the end of a line in a shell.
	comment = regexp.MustCompile(`(^|\s)#.*$`)
	// assigned are variables of make and of the shell with a quoted value.
	assigned = regexp.MustCompile(`[A-Z]+=("[^"]*"|'[^']*')`)
	// separator ends one command in a line.
	separator = regexp.MustCompile(`&&|\|\||;|\s\|\s|\$\(|\)|>`)
	// optional are the marks of a synopsis.
	optional = strings.NewReplacer("[", " ", "]", " ", "'", "", `"`, "", "...", "")
)

// calls returns all command lines of a document.
func calls(p page) []call {
	var out []call
	add := func(number int, text string) {
		text = comment.ReplaceAllString(text, "")
		for _, one := range separator.Split(assigned.ReplaceAllString(text, ""), -1) {
			words := strings.Fields(optional.Replace(one))
			for len(words) > 0 && (strings.Contains(words[0], "=") || slices.Contains(prefixes, words[0])) {
				words = words[1:]
			}
			if len(words) == 0 {
				continue
			}
			switch words[0] {
			case "switchyard", "bin/switchyard", "./bin/switchyard", "/usr/local/bin/switchyard":
				words[0] = "switchyard"
			case "make":
			default:
				continue
			}
			out = append(out, call{p.path, number, words})
		}
	}
	for _, b := range p.blocks {
		if b.language != "" && b.language != "sh" {
			continue
		}
		text := strings.ReplaceAll(b.text, "\\\n", " \x00")
		for i, l := range strings.Split(text, "\n") {
			add(b.line+i, strings.ReplaceAll(strings.TrimPrefix(strings.TrimSpace(l), "$ "), "\x00", " "))
		}
	}
	for _, l := range p.prose {
		for _, m := range inline.FindAllStringSubmatch(l.text, -1) {
			add(l.number, m[1])
		}
	}
	return out
}

// prefixes run another command.
var prefixes = []string{"sudo", "exec", "time", "nohup", "env", "-"}

// program answers what commands and flags there are.
type program struct {
	mu   sync.Mutex
	help map[string]string
}

// helpOf returns what "switchyard help COMMAND" prints, or "" if there is no such command.
func (p *program) helpOf(command ...string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := strings.Join(command, " ")
	if text, ok := p.help[key]; ok {
		return text
	}
	var out, errs bytes.Buffer
	args := append(slices.Clone(command), "--help")
	code := cli.Program{Name: "switchyard", Version: "v0", Plugins: standard.Plugins()}.
		Run(context.Background(), args, strings.NewReader(""), &out, &errs)
	text := out.String()
	if code != 0 || !strings.Contains(text, "switchyard "+key) && key != "" {
		text = ""
	}
	p.help[key] = text
	return text
}

var (
	flagName    = regexp.MustCompile(`(?m)^\s+(?:-(\w), )?\s*--([a-z0-9-]+)`)
	subcommands = regexp.MustCompile(`(?ms)^Available Commands:\n(.*?)(\n\n|\z)`)
	firstWord   = regexp.MustCompile(`(?m)^  (\S+)`)
)

// below returns the commands below one.
func below(help string) []string {
	var out []string
	if m := subcommands.FindStringSubmatch(help); m != nil {
		for _, w := range firstWord.FindAllStringSubmatch(m[1], -1) {
			out = append(out, w[1])
		}
	}
	return out
}

// flags returns the flags of a command.
func flags(help string) map[string]bool {
	out := map[string]bool{"--help": true, "-h": true}
	for _, m := range flagName.FindAllStringSubmatch(help, -1) {
		out["--"+m[2]] = true
		if m[1] != "" {
			out["-"+m[1]] = true
		}
	}
	return out
}

// Commands and flags of switchyard, keys of --set and targets of make are those that exist.
func TestCommands(t *testing.T) {
	targets, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	program := program{help: map[string]string{}}
	top := below(program.helpOf())
	if len(top) < 10 {
		t.Fatalf("only these commands were found: %v", top)
	}
	seen := map[string]bool{}
	count := 0
	for _, p := range pages(t) {
		for _, c := range calls(p) {
			count++
			if c.words[0] == "make" {
				checkMake(t, c, string(targets))
				continue
			}
			checkCall(t, c, &program, top, seen)
		}
	}
	if count < 100 {
		t.Errorf("only %d command lines were found", count)
	}
	for _, name := range top {
		if !seen[name] && name != "help" {
			t.Errorf("no document shows the command %s", name)
		}
	}
	reference, err := os.ReadFile(filepath.Join(root, "docs/cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	var walk func(command ...string)
	walk = func(command ...string) {
		help := program.helpOf(command...)
		for _, m := range flagName.FindAllStringSubmatch(help, -1) {
			either := regexp.MustCompile(`--` + m[2] + `\b`)
			if m[1] != "" {
				either = regexp.MustCompile(`--` + m[2] + `\b|\s\[?-` + m[1] + `\b`)
			}
			if m[2] != "help" && !either.Match(reference) {
				t.Errorf("docs/cli.md does not name --%s of switchyard %s", m[2], strings.Join(command, " "))
			}
		}
		for _, name := range below(help) {
			if name != "help" {
				walk(append(slices.Clone(command), name)...)
			}
		}
	}
	walk()
}

// docs/cli.md names the exit codes.
func TestExitCodes(t *testing.T) {
	reference, err := os.ReadFile(filepath.Join(root, "docs/cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "modules/cli/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\s+exit[A-Z]\w+\s+= (\d+)`).FindAllSubmatch(code, -1) {
			n++
			if !regexp.MustCompile(`(?s)[Ee]xit(s with| codes?).{0,600}?\b` + string(m[1]) + `\b`).Match(reference) {
				t.Errorf("docs/cli.md does not name the exit code %s", m[1])
			}
		}
	}
	if n < 3 {
		t.Errorf("only %d exit codes were found", n)
	}
}

// key matches a key of the configuration in the text.
var key = regexp.MustCompile("`((?:identity|listen|stack|transports|wires|muxers|security|peers|limits|store|admin" +
	"|services|discovery|log)\\.[a-z0-9_]+(?:\\.[a-z0-9_]+)*)`")

// notKeys look like keys: fields of /v1/status, files.
var notKeys = regexp.MustCompile(`^(peers\.down|store\.quarantined)$|\.(go|md|toml|json|html|token|sh|txt|yml)$`)

// Keys of the configuration that documents name exist.
func TestKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n, known := 0, map[string]bool{}
	for _, p := range pages(t) {
		for _, l := range p.prose {
			for _, m := range key.FindAllStringSubmatch(l.text, -1) {
				n++
				if known[m[1]] || notKeys.MatchString(m[1]) {
					continue
				}
				_, err := modules.Load(file, []string{m[1] + "=0"}, standard.Plugins()...)
				if err != nil && strings.Contains(err.Error(), "unknown key") {
					t.Errorf("%s:%d: %s is no key: %v", p.path, l.number, m[1], err)
				}
				known[m[1]] = true
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d keys were found", n)
	}
}

var target = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

func checkMake(t *testing.T, c call, makefile string) {
	t.Helper()
	for _, w := range c.words[1:] {
		if !target.MatchString(w) {
			continue // a variable, a placeholder
		}
		if !regexp.MustCompile(`(?m)^` + w + `:`).MatchString(makefile) {
			t.Errorf("%s:%d: make has no target %s", c.page, c.line, w)
		}
	}
}

var lower = regexp.MustCompile(`^[a-z][a-z-]*$`)

func checkCall(t *testing.T, c call, p *program, top []string, seen map[string]bool) {
	t.Helper()
	var command []string
	names := top
	words := c.words[1:]
	if len(words) > 0 && words[0] == "help" {
		words = words[1:]
	}
	for len(words) > 0 && len(names) > 0 && lower.MatchString(words[0]) {
		if !slices.Contains(names, words[0]) {
			t.Errorf("%s:%d: %s has no command %s", c.page, c.line,
				strings.Join(c.words[:1+len(command)], " "), words[0])
			return
		}
		command, words = append(command, words[0]), words[1:]
		names = below(p.helpOf(command...))
	}
	if len(command) > 0 {
		seen[command[0]] = true
	}
	known := flags(p.helpOf(command...))
	for i, w := range words {
		name, value, given := strings.Cut(w, "=")
		if !strings.HasPrefix(name, "-") || name == "-" {
			continue
		}
		if !known[name] {
			t.Errorf("%s:%d: %s has no flag %s", c.page, c.line,
				strings.Join(append([]string{"switchyard"}, command...), " "), name)
		}
		if name != "--set" {
			continue
		}
		if !given && i+1 < len(words) {
			value = words[i+1]
		}
		checkSet(t, c, value)
	}
}

// checkSet checks the key of a --set.
func checkSet(t *testing.T, c call, set string) {
	t.Helper()
	key, _, ok := strings.Cut(set, "=")
	if !ok || strings.ToUpper(key) == key {
		return // KEY=VALUE
	}
	for placeholder, value := range placeholders {
		set = strings.ReplaceAll(set, placeholder, value)
	}
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := modules.Load(file, []string{set}, standard.Plugins()...)
	if err != nil && strings.Contains(err.Error(), "unknown key") {
		t.Errorf("%s:%d: --set %s: %v", c.page, c.line, set, err)
	}
}
