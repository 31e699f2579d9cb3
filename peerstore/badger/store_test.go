package badger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

func address(t testing.TB, n int) transport.Address {
	t.Helper()
	a, err := transport.ParseAddress(fmt.Sprintf("%040x@10.%d.%d.%d:26656", n+1, n>>16&255, n>>8&255, n&255))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "peers")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for n := range 1000 {
		s.Add(address(t, n), peerstore.Source{Kind: "pex"}, now)
	}
	if err := s.Ban(peerstore.Ban{Target: peerstore.Target{ID: address(t, 5).ID()}, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if st := s.Stats(); st.Known != 1000 || st.Banned != 1 {
		t.Fatal(st)
	}
	files, _ := os.ReadDir(path)
	for _, f := range files {
		i, _ := f.Info()
		t.Log(f.Name(), i.Size())
	}
}
