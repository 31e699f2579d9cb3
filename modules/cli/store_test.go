package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStoreMoves: CometBFT's address book is imported, exported, and imported into another node, which then has the
// same peers.
func TestStoreMoves(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	for _, home := range []string{first, second} {
		must(t, "init", "--home", home, "--network", "moves")
	}
	var entries []string
	for i := range 20 {
		id := fmt.Sprintf("%040x", i+1)
		entries = append(entries,
			fmt.Sprintf(`{"addr":{"id":%q,"ip":"8.%d.3.4","port":26656},`+
				`"src":{"id":%q,"ip":"9.9.9.9","port":26656},"buckets":[1],"attempts":0,"bucket_type":1,`+
				`"last_attempt":"2026-01-01T00:00:00Z","last_success":"2026-01-01T00:00:00Z",`+
				`"last_ban_time":"0001-01-01T00:00:00Z"}`, id, i, id))
	}
	book := filepath.Join(dir, "addrbook.json")
	if err := os.WriteFile(book, []byte(`{"key":"00","addrs":[`+strings.Join(entries, ",")+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const learned = "learned 20 peers with 20 addresses"
	if out := must(t, "store", "import", book, "--home", first); !strings.HasPrefix(out, learned) {
		t.Errorf("import printed %q", out)
	}
	exported := filepath.Join(dir, "peers.json")
	out := must(t, "store", "export", "-o", exported, "--home", first)
	if out != "wrote 20 peers and 0 bans to "+exported+"\n" {
		t.Errorf("export printed %q", out)
	}
	if out := must(t, "store", "import", exported, "--home", second); !strings.HasPrefix(out, learned) {
		t.Errorf("import printed %q", out)
	}
	if out := must(t, "store", "export", "--home", second); strings.Count(out, "/ip4/8.") != 20 ||
		!strings.Contains(out, "/ip4/8.7.3.4/tcp/26656/mconn/") {
		t.Errorf("export printed %s", out)
	}
	for name, args := range map[string][]string{
		"no file":      {"store", "import", filepath.Join(dir, "nothing"), "--home", first},
		"another form": {"store", "import", filepath.Join(first, "config.toml"), "--home", first},
		"no node":      {"store", "export", "--home", dir},
	} {
		if r := call(t, args...); r.code != exitFailed || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := call(t, "store", "export", "--home", first, "--set", "store.path="); r.code != exitUsage ||
		!strings.Contains(r.err, "store.path is empty") {
		t.Errorf("a node without a store: %+v", r)
	}
}
