package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// generated checks that a document has text between its marks <!-- NAME --> and <!-- end -->, or writes it there with
// -update.
func generated(t *testing.T, file, name, text string) {
	t.Helper()
	at := filepath.Join(root, file)
	data, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	mark := "<!-- " + name + " -->\n"
	before, rest, ok := strings.Cut(string(data), mark)
	old, after, ends := strings.Cut(rest, "<!-- end -->")
	if !ok || !ends {
		t.Fatalf("%s has no marks %s and <!-- end -->", file, strings.TrimSpace(mark))
	}
	if old == text {
		return
	}
	if *update {
		if err := os.WriteFile(at, []byte(before+mark+text+"<!-- end -->"+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, l := range strings.Split(text, "\n") {
		if !strings.Contains(old, l) {
			t.Errorf("%s lacks: %s", file, l)
		}
	}
	t.Errorf("%s is not what the code has: go test ./internal/docs -update writes it", file)
}
