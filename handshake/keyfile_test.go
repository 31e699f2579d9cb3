package handshake

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// cometKeyFile was written by CometBFT 0.40.0 (a throw-away key), and cometKeyID is what it called that node.
const (
	cometKeyFile = `{"priv_key":{"type":"tendermint/PrivKeyEd25519","value":"` +
		`2fDpcQ+I0POE5KmeQenO3eXhLp6mp2PRth0C4JR20HQBgNPGPxi8Aud0pLuSeB40KhZ9UOOkwIlkDmz6yNdBKQ=="}}`
	cometKeyID = "8dd60e31af3c5e38a6b53f59caccd74a8eec915a"
)

func TestNodeKeyRoundTrip(t *testing.T) {
	k, err := GenerateNodeKey()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "node_key.json")
	if err := SaveNodeKey(path, k); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, error %v", info.Mode(), err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Fatalf("left behind: %v", entries)
	}
	back, err := LoadNodeKey(path)
	if err != nil || back.Warning() != nil {
		t.Fatal(err, back.Warning())
	}
	if back.ID() != k.ID() || back.Public() != k.Public() {
		t.Fatal("another key came back")
	}
	challenge := bytes.Repeat([]byte{7}, ChallengeSize)
	sig, err := back.Sign(context.Background(), SignChallenge, challenge)
	if err != nil || !k.Public().Verify(challenge, sig) || k.Public().Verify([]byte("hallo"), sig) {
		t.Fatal("signature")
	}
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%#v %+v %x %s", k, k, k, k), k.LogValue().String()} {
		if !strings.Contains(s, string(k.ID())) || len(s) > 300 {
			t.Errorf("printed as %q", s)
		}
	}
}

func TestCometKeyFile(t *testing.T) {
	k, err := ParseNodeKey([]byte(cometKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseNodeKey([]byte("\ufeff" + cometKeyFile)); err != nil {
		t.Fatalf("with a byte order mark: %v", err)
	}
	if string(k.ID()) != cometKeyID {
		t.Fatalf("id %s, CometBFT says %s", k.ID(), cometKeyID)
	}
	if got := strings.TrimSpace(string(k.encode())); got != cometKeyFile {
		t.Fatalf("we write %s", got)
	}
}

func TestSaveNeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	k := NewIdentity([32]byte{1})
	for name, make := range map[string]func(string) error{
		"file":         func(p string) error { return os.WriteFile(p, []byte("precious"), 0o644) },
		"empty file":   func(p string) error { return os.WriteFile(p, nil, 0o644) },
		"directory":    func(p string) error { return os.Mkdir(p, 0o755) },
		"dead symlink": func(p string) error { return os.Symlink("/nowhere/at/all", p) },
	} {
		path := filepath.Join(dir, name)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		err := SaveNodeKey(path, k)
		var bad *KeyFileError
		if !errors.As(err, &bad) || !errors.Is(err, fs.ErrExist) || bad.Path != path {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "file")); string(got) != "precious" {
		t.Fatalf("overwritten: %q", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 4 {
		t.Fatalf("left behind: %v", entries)
	}
	if err := SaveNodeKey(filepath.Join(dir, "no", "such", "dir"), k); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: %v", err)
	}
}

func TestBadKeyFiles(t *testing.T) {
	b64 := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	secret := append([]byte(nil), NewIdentity([32]byte{7}).secret...)
	file := func(typ, value string) string {
		return fmt.Sprintf(`{"priv_key":{"type":%q,"value":%q}}`, typ, value)
	}
	swapped := append([]byte(nil), secret...)
	swapped[63] ^= 1
	for _, c := range []struct{ name, content, want string }{
		{"empty", "", "is empty; put back a copy, or remove it"},
		{"not json", "hello", "not the JSON"},
		{"cut", file(keyFileType, b64(secret))[:60],
			"is cut, or not the JSON of a node key; put back a copy, or remove it"},
		{"trailing", file(keyFileType, b64(secret)) + "x", "not the JSON"},
		{"null", "null", "priv_key"},
		{"no key", `{"id":"x"}`, "priv_key"},
		{"array", "[]", "not the JSON"},
		{"other type", file("tendermint/PrivKeySecp256k1", b64(secret)), "PrivKeySecp256k1"},
		{"long type", file(strings.Repeat("z", 2000), b64(secret)), "key type"},
		{"no base64", file(keyFileType, "!!"), "base64"},
		{"hex", file(keyFileType, hex.EncodeToString(secret)), "in hex"},
		{"URL-safe", file(keyFileType, base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 64))), "URL-safe"},
		{"blank", " \n", "is empty"},
		{"seed only", file(keyFileType, b64(secret[:32])), "32 bytes, want 64"},
		{"other public half", file(keyFileType, b64(swapped)), "public half"},
		{"validator key", `{"address":"AA","pub_key":{"type":"tendermint/PubKeyEd25519","value":"AAAA"},` +
			file(keyFileType, b64(secret))[1:], "validator key"},
		{"huge", strings.Repeat(" ", maxKeyFile+1), "longer than"},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadNodeKey(path)
		var bad *KeyFileError
		if !errors.As(err, &bad) || bad.Path != path || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && (len(err.Error()) > 400 || strings.Contains(err.Error(), "\n") ||
			strings.Contains(err.Error(), b64(secret)[:20])) {
			t.Errorf("%s: bad error text: %v", c.name, err)
		}
	}
	if _, err := LoadNodeKey(t.TempDir()); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("directory: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/nowhere/at/all", link); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadNodeKey(link); err == nil || errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), `a link to "/nowhere/at/all", which is not there`) {
		t.Errorf("link to nothing: %v", err)
	}
	if _, err := LoadNodeKey(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestOpenPermissionsWarn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, NewIdentity([32]byte{3}).encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	k, err := LoadNodeKey(path)
	if err != nil || k.Warning() == nil || !strings.Contains(k.Warning().Error(), "0644") {
		t.Fatal(err, k.Warning())
	}
}

func FuzzParseNodeKey(f *testing.F) {
	f.Add([]byte(cometKeyFile))
	f.Add(NewIdentity([32]byte{1}).encode())
	f.Add([]byte(`{"priv_key":null}`))
	f.Add([]byte(`{"priv_key":{"type":"tendermint/PrivKeyEd25519","value":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseNodeKey(data)
		if err != nil {
			var bad *KeyFileError
			if !errors.As(err, &bad) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		back, err := ParseNodeKey(k.encode())
		if err != nil || back.ID() != k.ID() {
			t.Fatalf("does not round-trip: %v", err)
		}
	})
}
