package docs

import (
	"flag"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

const root = "../.."

var update = flag.Bool("update", false, "write the generated parts of the documents")

// page is a Markdown file.
type page struct {
	path    string // from the root, with slashes
	text    string
	anchors map[string]bool // of its headings
	prose   []line          // what is outside of code blocks
	blocks  []block
}

type line struct {
	number int
	text   string
}

// block is a fenced block of code.
type block struct {
	line     int // of its first line
	language string
	above    string // the line before it that is not empty
	text     string
}

// pages reads all documents but the changelog, which may name what has gone since.
func pages(t *testing.T) []page {
	t.Helper()
	var out []page
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != root && strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".md") || d.Name() == "CHANGELOG.md" {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		out = append(out, parse(filepath.ToSlash(rel), string(text)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("only %d documents were found", len(out))
	}
	return out
}

var heading = regexp.MustCompile(`^#{1,6} +(.*)$`)

func parse(name, text string) page {
	p := page{path: name, text: text, anchors: map[string]bool{}}
	var open *block
	above := ""
	for i, l := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(trimmed, "```") && open == nil:
			open = &block{line: i + 2, language: strings.TrimPrefix(trimmed, "```"), above: above}
		case strings.HasPrefix(trimmed, "```"):
			p.blocks = append(p.blocks, *open)
			open = nil
		case open != nil:
			open.text += l + "\n"
		default:
			p.prose = append(p.prose, line{i + 1, l})
			if m := heading.FindStringSubmatch(l); m != nil {
				p.anchors[p.anchorOf(m[1])] = true
			}
			for _, m := range named.FindAllStringSubmatch(l, -1) {
				p.anchors[m[1]] = true
			}
		}
		if trimmed != "" {
			above = trimmed
		}
	}
	return p
}

// named matches an anchor that is written out.
var named = regexp.MustCompile(`<a (?:id|name)="([^"]+)">`)

// anchorOf is the anchor that a heading gets: lower case, hyphens for spaces, without punctuation.
func (p *page) anchorOf(heading string) string {
	heading = mdLink.ReplaceAllString(heading, "$1")
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			b.WriteRune(r)
		case r == ' ':
			b.WriteByte('-')
		}
	}
	name := b.String()
	for i := 1; p.anchors[name]; i++ {
		name = b.String() + "-" + string(rune('0'+i))
	}
	return name
}

var (
	mdLink = regexp.MustCompile(`\[([^]]*)\]\(([^)\s]+)\)`)
	// namedFile matches a file of the tree that Markdown names, such as `host/router.go`.
	namedFile = regexp.MustCompile("`([a-z0-9_]+(?:/[a-z0-9_]+)*/[A-Za-z0-9_]+\\.(?:go|proto|tmpl|mjs))`")
)

// Links lead to what exists, and so do the names of files.
func TestLinks(t *testing.T) {
	all := pages(t)
	byPath := map[string]*page{}
	for i := range all {
		byPath[all[i].path] = &all[i]
	}
	count := 0
	for i := range all {
		p := &all[i]
		prose := make([]string, len(p.prose))
		for i, l := range p.prose { // links and names may be broken over lines, but only between [ and ]
			prose[i] = l.text
			for _, m := range namedFile.FindAllStringSubmatch(l.text, -1) {
				count++
				if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
					t.Errorf("%s:%d names %s, which does not exist", p.path, l.number, m[1])
				}
			}
		}
		for _, m := range mdLink.FindAllStringSubmatch(strings.Join(prose, "\n"), -1) {
			target, anchor, _ := strings.Cut(m[2], "#")
			if strings.Contains(target, ":") { // of the web
				continue
			}
			count++
			to := p
			if target != "" {
				at := path.Join(path.Dir(p.path), target)
				if _, err := os.Stat(filepath.Join(root, at)); err != nil {
					t.Errorf("%s links to %s, which does not exist", p.path, m[2])
					continue
				}
				to = byPath[at]
			}
			if anchor != "" && (to == nil || !to.anchors[anchor]) {
				t.Errorf("%s links to %s, and there is no such heading", p.path, m[2])
			}
		}
	}
	if count < 100 {
		t.Errorf("only %d links and names were found: are the patterns right?", count)
	}
}

// Every page below docs/ can be reached from its index.
func TestIndex(t *testing.T) {
	all := pages(t)
	byPath := map[string]*page{}
	for i := range all {
		byPath[all[i].path] = &all[i]
	}
	reached := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		p := byPath[name]
		if p == nil || reached[name] {
			return
		}
		reached[name] = true
		for _, m := range mdLink.FindAllStringSubmatch(p.text, -1) {
			target, _, _ := strings.Cut(m[2], "#")
			if !strings.Contains(target, ":") {
				visit(path.Join(path.Dir(name), target))
			}
		}
	}
	visit("docs/README.md")
	for name := range byPath {
		if strings.HasPrefix(name, "docs/") && !reached[name] {
			t.Errorf("no way leads from docs/README.md to %s", name)
		}
	}
}
