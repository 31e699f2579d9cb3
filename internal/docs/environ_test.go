package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

// ours is a variable of the environment that we read.
var ours = regexp.MustCompile(`\bSWITCHYARD_[A-Z0-9_]+\b`)

// Variables of the environment that documents and deploy/ name are read somewhere: by the code, or, if they begin with
// the name of a section, as a key of the configuration that exists.
func TestEnvironment(t *testing.T) {
	keys, sections := map[string]bool{}, map[string]bool{}
	for _, k := range modules.Keys(standard.Plugins()...) {
		keys[modules.EnvName("SWITCHYARD", k.Name)] = true
		if section, _, nested := strings.Cut(k.Name, "."); nested {
			sections[modules.EnvName("SWITCHYARD", section)+"_"] = true
		}
	}
	code := map[string]bool{}
	for _, pattern := range []string{"*", "*/*", "*/*/*", "*/*/*/*"} {
		for _, ext := range []string{".go", ".sh", ".yml", ""} {
			files, err := filepath.Glob(filepath.Join(root, pattern+ext))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if ext == "" && filepath.Base(file) != "Makefile" {
					continue
				}
				text, err := os.ReadFile(file)
				if err != nil {
					continue // a folder
				}
				for _, name := range ours.FindAllString(string(text), -1) {
					code[name] = true
				}
			}
		}
	}
	n := 0
	check := func(where, text string) {
		for _, name := range ours.FindAllString(text, -1) {
			n++
			inSection := false
			for section := range sections {
				inSection = inSection || strings.HasPrefix(name, section)
			}
			switch {
			case keys[name]:
			case inSection:
				t.Errorf("%s names %s, which sets no key", where, name)
			case !code[name]:
				t.Errorf("%s names %s, which nothing reads", where, name)
			}
		}
	}
	for _, p := range pages(t) {
		check(p.path, p.text)
	}
	err := filepath.WalkDir(filepath.Join(root, "deploy"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(p)
		if err == nil {
			check(p, string(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 10 {
		t.Errorf("only %d variables were found", n)
	}
}
