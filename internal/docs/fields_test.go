package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// span is a piece of code in a line.
var span = regexp.MustCompile("`([^`]+)`")

// snake is a span that looks like the name of a field.
var snake = regexp.MustCompile("`([a-z][a-z0-9]*(?:_[a-z0-9]+)+)`")

// written is a key of JSON that code writes without a struct.
var written = regexp.MustCompile(`"([a-z][a-z0-9_]*)":`)

// fieldsOf returns the names of the JSON fields in the Go files below a folder that are no tests.
func fieldsOf(t *testing.T, dir string, into map[string]bool) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(root, dir), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() != ".." && strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" ||
				d.Name() == "node_modules" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(p)
		for _, form := range []*regexp.Regexp{jsonTag, written} {
			for _, m := range form.FindAllSubmatch(text, -1) {
				into[string(m[1])] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// keysIn returns the keys of objects in a text that looks like JSON, such as {"a","b":[1,...],"c":{...}}.
func keysIn(text string) (keys []string) {
	var open []byte // the brackets that are open
	expect := false // a key may come: behind { and, in an object, behind a comma
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '{', '[':
			open = append(open, c)
			expect = c == '{'
		case '}', ']':
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
			expect = false
		case ',':
			expect = len(open) > 0 && open[len(open)-1] == '{'
		case '"':
			end := i + 1
			for end < len(text) && text[end] != '"' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(text) {
				return keys
			}
			if expect {
				keys = append(keys, text[i+1:end])
			}
			i, expect = end, false
		}
	}
	return keys
}

func TestKeysIn(t *testing.T) {
	got := strings.Join(keysIn(`x {"a","b":["c","d"],"e":{"f":"{\"g\""},...} ["h"] {"i":1}`), " ")
	if got != "a b e f i" {
		t.Error(got)
	}
}

// Fields of JSON that documents show exist: those of docs/admin-api.md in what the API answers with, those of other
// pages anywhere.
func TestFieldsExist(t *testing.T) {
	all, api := map[string]bool{}, map[string]bool{}
	fieldsOf(t, ".", all)
	for _, dir := range []string{"host/admin", "host/autonat", "modules/chain", "modules/standard", "modules/cli"} {
		fieldsOf(t, dir, api)
	}
	name := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	n := 0
	for _, p := range pages(t) {
		known := all
		if p.path == "docs/admin-api.md" {
			known = api
		}
		check := func(line int, text string) {
			for _, key := range keysIn(text) {
				if n++; name.MatchString(key) && !known[key] {
					t.Errorf("%s:%d: no answer has the field %q", p.path, line, key)
				}
			}
		}
		for _, l := range p.prose {
			for _, m := range span.FindAllStringSubmatch(l.text, -1) {
				if strings.Contains(m[1], `{"`) {
					check(l.number, m[1])
				}
			}
			if p.path != "docs/admin-api.md" {
				continue
			}
			for _, m := range snake.FindAllStringSubmatch(l.text, -1) {
				if n++; !known[m[1]] {
					t.Errorf("%s:%d: no answer has the field %s", p.path, l.number, m[1])
				}
			}
		}
		for _, b := range p.blocks {
			if b.language == "json" || b.language == "" && strings.Contains(b.text, `{"`) {
				check(b.line, strings.ReplaceAll(b.text, "\ndata:", ""))
			}
		}
	}
	if n < 200 {
		t.Errorf("only %d fields were found", n)
	}
}
