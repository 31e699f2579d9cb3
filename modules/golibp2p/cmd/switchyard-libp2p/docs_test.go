package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/golibp2p/services"
)

// page is docs/libp2p-programs.md.
func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../../docs/libp2p-programs.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks returns the blocks of code in one language.
func blocks(text, language string) []string {
	var out []string
	open, wanted := false, false
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "```"):
			open = !open
			if wanted = open && line == "```"+language+"\n"; wanted {
				out = append(out, "")
			}
		case wanted:
			out[len(out)-1] += line
		}
	}
	return out
}

// help returns the help text of a command; "" if there is none.
func help(t *testing.T, command ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	code := program().Run(t.Context(), append(slices.Clone(command), "--help"), strings.NewReader(""), &out, &errs)
	name := "switchyard-libp2p " + strings.Join(command, " ")
	if code != 0 || !strings.Contains(out.String(), name) {
		return ""
	}
	return out.String()
}

var flagName = regexp.MustCompile(`(?m)^\s+(?:-\w, )?\s*--([a-z0-9-]+)`)

// The page has each command of ours with its flags, and no other.
func TestCommandsAreDocumented(t *testing.T) {
	lines := map[string]string{} // by command
	for _, b := range blocks(page(t), "") {
		for line := range strings.Lines(b) {
			words := strings.Fields(line)
			if len(words) >= 3 && words[0] == "switchyard-libp2p" && (words[1] == "pubsub" || words[1] == "dht") {
				lines[words[1]+" "+words[2]] += line
			}
		}
	}
	known := map[string]bool{}
	for _, group := range modules.Commands(services.Plugins()) {
		for _, c := range group.Commands {
			name := group.Name + " " + c.Name
			known[name] = true
			synopsis := lines[name]
			if synopsis == "" {
				t.Errorf("the page has no line for %s", name)
				continue
			}
			for _, arg := range c.Args {
				if !strings.Contains(synopsis, " "+arg) {
					t.Errorf("the line of %s lacks %s", name, arg)
				}
			}
			flags := []string{}
			for _, m := range flagName.FindAllStringSubmatch(help(t, group.Name, c.Name), -1) {
				flags = append(flags, "--"+m[1])
				common := slices.Contains([]string{"help", "home", "set", "timeout"}, m[1])
				if !common && !strings.Contains(synopsis, "--"+m[1]) {
					t.Errorf("the line of %s lacks --%s", name, m[1])
				}
			}
			for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(synopsis, -1) {
				if !slices.Contains(flags, flag) {
					t.Errorf("%s has no %s", name, flag)
				}
			}
		}
	}
	for name := range lines {
		if !known[name] {
			t.Errorf("the page shows %s, which is no command", name)
		}
	}
	if len(known) < 10 {
		t.Errorf("only %d commands were found", len(known))
	}
}

// The page has each key of ours with its default, and its settings are settings.
func TestKeysAreDocumented(t *testing.T) {
	text := page(t)
	rows := map[string]string{} // section and key, with the row
	section := ""
	for line := range strings.Lines(text) {
		if m := regexp.MustCompile("^#+ .*`(\\[[a-z.\\[\\]]+\\])`").FindStringSubmatch(line); m != nil {
			section = m[1]
		}
		if m := regexp.MustCompile("^\\| `([a-z_]+)` \\|").FindStringSubmatch(line); m != nil {
			rows[section+" "+m[1]] = line
		}
	}
	known := map[string]bool{}
	for _, k := range modules.Keys(program().Plugins...) {
		parts := strings.Split(k.Name, ".")
		at := ""
		switch strings.Join(parts[:min(2, len(parts))], ".") {
		case "services.pubsub", "services.dht":
			at = "[" + strings.Join(parts[:2], ".") + "]"
		case "discovery.dht":
			at = "[[discovery]]"
		default:
			continue
		}
		key := parts[len(parts)-1]
		if key == "enabled" {
			continue // of every service
		}
		known[at+" "+key] = true
		row, ok := rows[at+" "+key]
		switch {
		case !ok:
			t.Errorf("the page lacks %s of %s", key, at)
		case !strings.Contains(row, "`"+k.Default+"`"):
			t.Errorf("the row of %s of %s lacks the default %s", key, at, k.Default)
		}
	}
	for row := range rows {
		if !known[row] && strings.HasPrefix(row, "[") {
			t.Errorf("the page has a row for %s, which is no key", row)
		}
	}
	if len(known) < 20 {
		t.Errorf("only %d keys were found", len(known))
	}
	n := 0
	for _, b := range blocks(text, "toml") {
		n++
		file := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(file, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := modules.Load(file, nil, program().Plugins...); err != nil {
			t.Errorf("%v in\n%s", err, b)
		}
	}
	if n == 0 {
		t.Error("the page has no settings")
	}
}
