package badger

import (
	"bytes"
	"path/filepath"
	"testing"
)

// TestBucketKey wants the key that places peers in buckets to stay the same from run to run.
func TestBucketKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	key := s.Meta("peerstore/key")
	if len(key) != 16 {
		t.Fatalf("%x", key)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if again := open(t, path, Options{}).Meta("peerstore/key"); !bytes.Equal(again, key) {
		t.Fatalf("%x, then %x", key, again)
	}
	if other := open(t, filepath.Join(t.TempDir(), "peers"), Options{}).Meta("peerstore/key"); bytes.Equal(other, key) {
		t.Fatal("two stores have the same key")
	}
}
