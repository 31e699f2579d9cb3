package floors

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// namedFile matches a file of the tree that Markdown names, such as `host/router.go`.
	namedFile = regexp.MustCompile("`([a-z0-9_]+(?:/[a-z0-9_]+)*/[A-Za-z0-9_]+\\.(?:go|proto|tmpl|mjs))`")
	// link matches a link to another file of the tree.
	link = regexp.MustCompile(`\]\(([^)#:]+)\)`)
)

// The files that the documents name, and the targets of their links, exist.
func TestDocumentsNameWhatExists(t *testing.T) {
	var docs []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, names...)
	}
	named := 0
	for _, doc := range docs {
		if path.Base(doc) == "CHANGELOG.md" { // it may name what has gone since
			continue
		}
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range namedFile.FindAllStringSubmatch(string(text), -1) {
			named++
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s, which does not exist", doc, m[1])
			}
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			named++
			to := strings.TrimSpace(m[1])
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), to)); err != nil {
				t.Errorf("%s links to %s, which does not exist", doc, to)
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d names were found: are the patterns right?", named)
	}
}
