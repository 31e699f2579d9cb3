package chain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host/backfill"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
)

// made is a chain of n blocks in memory.
func made(t *testing.T, n uint64) (*backfill.Memory, Target) {
	t.Helper()
	key, store := NewKey(), backfill.NewMemory()
	if err := Make(t.Context(), store, key, n, 300); err != nil {
		t.Fatal(err)
	}
	target, err := TargetOf(t.Context(), store, n, Public(key))
	if err != nil {
		t.Fatal(err)
	}
	return store, target
}

// Every block of a chain verifies, upwards and downwards; one with any byte changed, or of another height, does not.
func TestVerify(t *testing.T) {
	ctx := t.Context()
	from, target := made(t, 20)
	for _, down := range []bool{false, true} {
		to := backfill.NewMemory()
		verify := Verify(to, target)
		for i := range uint64(20) {
			h := i + 1
			if down {
				h = 20 - i
			}
			b, _ := from.Get(ctx, h)
			for at := 0; at < len(b); at += 7 {
				bad := bytes.Clone(b)
				bad[at] ^= 1
				if _, ok := errors.AsType[*backfill.BadItemError](verify(ctx, h, bad)); !ok {
					t.Fatalf("block %d with byte %d changed verifies", h, at)
				}
			}
			if err := verify(ctx, h, b); err != nil {
				t.Fatalf("block %d: %v", h, err)
			}
			if verify(ctx, h+1, b) == nil || verify(ctx, h, nil) == nil {
				t.Fatalf("block %d verifies as another one", h)
			}
			_ = to.Put(ctx, h, b)
		}
	}
	other, _ := made(t, 20)
	b, _ := other.Get(ctx, 1)
	if Verify(backfill.NewMemory(), target)(ctx, 1, b) == nil {
		t.Error("a block of another chain verifies")
	}
}

func TestTarget(t *testing.T) {
	_, target := made(t, 3)
	if got, err := ParseTarget(target.String()); err != nil || got.String() != target.String() || got.Height != 3 {
		t.Errorf("%v, %v", got, err)
	}
	text := target.String()
	for _, bad := range []string{"", "3", "0" + text[1:], "x" + text[1:], text[:len(text)-1], text + ":", text + "00",
		strings.Replace(text, ":", ":zz", 1), "-" + text} {
		if got, err := ParseTarget(bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

// A file has what was put into it, in any order, after it was opened again; what a crash has cut off or changed at the
// end is gone, and the rest is there.
func TestFile(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "new", "blocks")
	from, _ := made(t, 10)
	order := []uint64{3, 4, 9, 10, 8, 1, 2}
	s, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var ends []int64
	for _, h := range order {
		b, _ := from.Get(ctx, h)
		if err := s.Put(ctx, h, b); err != nil {
			t.Fatal(err)
		}
		if s.Put(ctx, h, b) == nil {
			t.Error("a block is stored twice")
		}
		ends = append(ends, s.end)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(content []byte, blocks int) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for i, h := range order {
			want, _ := from.Get(ctx, h)
			got, err := s.Get(ctx, h)
			if has, _ := s.Has(ctx, h); has != (i < blocks) || has != (err == nil) || has && !bytes.Equal(got, want) {
				t.Fatalf("of %d bytes, block %d: %v, %v", len(content), h, has, err)
			}
			if i >= blocks {
				if err := s.Put(ctx, h, want); err != nil {
					t.Fatal(err)
				}
			}
		}
		spans, _ := s.Range(ctx, 0, 100)
		if !slices.Equal(spans, []backfill.Span{{From: 1, To: 4}, {From: 8, To: 10}}) {
			t.Fatalf("the range is %v", spans)
		}
	}
	check(whole, len(order))
	for n := 0; n < len(whole); n += 13 {
		blocks, _ := slices.BinarySearch(ends, int64(n)+1)
		check(whole[:n], blocks)
		damaged := bytes.Clone(whole)
		damaged[n] ^= 4
		check(damaged, blocks)
	}
}

// A node makes a chain, another one fetches it with its configuration, and both show it.
func TestServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var services [2]*Service
		home := t.TempDir()
		start := func(n *hosttest.Node) ([]hosttest.Service, error) {
			cfg := Default()
			cfg.Make = 100
			if n.Index == 1 {
				target, _ := services[0].Target(t.Context())
				cfg.Make, cfg.Target, cfg.Folder = 0, target.String(), ""
			}
			s, err := New(cfg, n.Host, filepath.Join(home, n.Name), slog.New(slog.DiscardHandler))
			services[n.Index] = s
			return []hosttest.Service{s.Run}, err
		}
		net := hosttest.New(t, hosttest.Options{Stopped: true, Services: start})
		net.Nodes[0].Start()
		synctest.Wait()
		net.Nodes[1].Start()
		net.Nodes[1].Dial(net.Nodes[0])
		time.Sleep(10 * time.Second)
		for _, s := range services {
			r := httptest.NewRecorder()
			s.routes().ServeHTTP(r, httptest.NewRequest("GET", "/", nil))
			var v View
			if err := json.Unmarshal(r.Body.Bytes(), &v); err != nil || s.Blocks(t.Context()) != 100 ||
				!slices.Equal(v.Heights, []backfill.Span{{From: 1, To: 100}}) || len(v.Runs) != 0 {
				t.Errorf("%s (%v)", r.Body, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		r := httptest.NewRecorder()
		services[1].routes().ServeHTTP(r, httptest.NewRequestWithContext(ctx, "GET", "/events", nil))
		if got := r.Body.String(); got != ": from now on\n\nevent: progress\ndata: []\n\n" {
			t.Errorf("events %q", got)
		}
		if _, made := services[1].Target(t.Context()); made {
			t.Error("a fetched chain counts as made")
		}
		first, _ := services[0].Target(t.Context())
		net.Nodes[0].Restart()
		synctest.Wait()
		if again, _ := services[0].Target(t.Context()); again.String() != first.String() {
			t.Errorf("after a restart the chain is %v", again)
		}
		if len(services[0].metrics()) < 5 {
			t.Error("few metrics")
		}
	})
}

// A target that cannot be reached ends Run, and so the node.
func TestWrongTargetEndsRun(t *testing.T) {
	store, target := made(t, 10)
	target.Hash[0] ^= 1
	s := &Service{cfg: Config{Target: target.String()}, store: store, log: slog.New(slog.DiscardHandler),
		closer: func() error { return nil }}
	synctest.Test(t, func(t *testing.T) {
		net := hosttest.New(t, hosttest.Options{Nodes: 1, Services: func(n *hosttest.Node) ([]hosttest.Service, error) {
			var err error
			s.fill, err = backfill.New(backfill.Config{}, n.Host, store, nil)
			return nil, err
		}})
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another chain") {
			t.Errorf("Run: %v", err)
		}
		net.Stop()
	})
}

func TestConfig(t *testing.T) {
	_, target := made(t, 3)
	for _, bad := range []Config{{BlockSize: -1}, {Make: 1, Target: target.String()}, {Target: "x"},
		{Fetch: backfill.Config{Window: -1}}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is valid", bad)
		}
	}
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
}
