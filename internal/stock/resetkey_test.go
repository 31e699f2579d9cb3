package stock

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The key is random, private and stays the same; a file that is damaged is replaced, and one that cannot be kept does
// not stop the node.
func TestResetKey(t *testing.T) {
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	path := filepath.Join(t.TempDir(), "home", ResetKeyFile)
	mode := func() os.FileMode {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	first := ResetKey(path, log)
	if first == nil || *first == [ResetKeySize]byte{} || mode() != 0o600 {
		t.Fatalf("%x, mode %v", first, mode())
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if again := ResetKey(path, log); *again != *first || mode() != 0o600 || said.Len() > 0 {
		t.Errorf("%x, then %x, mode %v: %s", first, again, mode(), &said)
	}
	if other := ResetKey(filepath.Join(t.TempDir(), ResetKeyFile), log); *other == *first {
		t.Error("two nodes have the same key")
	}
	for name, content := range map[string]string{"cut": "short", "long": strings.Repeat("x", 33), "empty": ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		said.Reset()
		fresh := ResetKey(path, log)
		if again := ResetKey(path, log); fresh == nil || *fresh == *first || *again != *fresh || said.Len() == 0 {
			t.Errorf("%s: %x, then %x: %s", name, fresh, again, &said)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	said.Reset()
	if key := ResetKey(filepath.Join(path, "below-a-file"), log); key != nil || said.Len() == 0 {
		t.Errorf("where no file can be: %x, %s", key, &said)
	}
}
