package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host/backfill"
	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/modules/chain"
)

// sync fetches a chain from nodes that it makes, and a line or an object tells of it.
func TestSync(t *testing.T) {
	var got struct{ Height, Fetched, Bytes int }
	mustJSON(t, &got, "sync", "--blocks", "500", "--size", "2000", "--nodes", "2", "--json")
	if got.Height != 500 || got.Fetched != 500 || got.Bytes != 1_000_000 {
		t.Errorf("%+v", got)
	}
	folder := filepath.Join(t.TempDir(), "kept")
	if out := must(t, "sync", "--blocks", "50", "--folder", folder); !strings.Contains(out, "50 blocks (0.1 MB)") ||
		!strings.Contains(out, "height 50 is the target") || strings.Contains(out, "\r") {
		t.Errorf("printed %q", out)
	}
	if r := call(t, "sync", "--blocks", "60", "--folder", folder); r.code != exitFailed ||
		!strings.Contains(r.err, "another chain") {
		t.Errorf("a sync of another chain into the folder: %+v", r)
	}
	target := "1:" + strings.Repeat("00", 32) + ":" + strings.Repeat("00", 32)
	const peer = "/ip4/127.0.0.1/tcp/1/mconn/0000000000000000000000000000000000000001"
	for _, bad := range [][]string{{peer}, {"--target", target}, {peer, "--target", "7"}, {"--nodes", "0"},
		{"--blocks", "0"}, {"--size", "-1"}, {"--size", "99999999999"}, {peer, "--target", target, "--size", "5"},
		{"nowhere", "--target", target}} {
		if r := call(t, append([]string{"sync"}, bad...)...); r.code != exitUsage {
			t.Errorf("sync %q: %+v", bad, r)
		}
	}
}

func TestSyncLine(t *testing.T) {
	p := backfill.Progress{Done: 250, Total: 1000, Bytes: 5e6, Peers: 3, Elapsed: 2 * time.Second}
	const text = " 25%  250 of 1000 blocks, 2.5 MB/s, 3 peers, 6.0s left"
	if got := syncLine(p, 79); got != "[#####................]  "+text {
		t.Errorf("%q", got)
	}
	if got := syncLine(p, 0); got != text {
		t.Errorf("%q", got)
	}
	if got := syncLine(backfill.Progress{Total: 5}, 0); got != "  0%  0 of 5 blocks, waiting for peers" {
		t.Errorf("%q", got)
	}
	for _, columns := range []int{1, 60, 79, 200} {
		if got := syncLine(p, columns); len(got) > max(columns, 60) {
			t.Errorf("%d columns: %q", columns, got)
		}
	}
}

// A sync that is killed goes on where it was: what was stored is whole, and is not fetched again.
func TestSyncKilledAndResumed(t *testing.T) {
	const blocks = 8000
	n := startNode(t, initHome(t), "--set", "services.chain.enabled=true", "--set",
		fmt.Sprint("services.chain.make=", blocks))
	var view chain.View
	eventually(t, "the chain is made", func() bool {
		r, err := http.Get("http://" + n.admin + "/v1/services/chain/")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return json.NewDecoder(r.Body).Decode(&view) == nil && view.Target != ""
	})
	folder := filepath.Join(t.TempDir(), "chain")
	args := []string{"sync", n.address(), "--network", "test-net", "--target", view.Target, "--folder", folder,
		"--json"}
	had := uint64(0)
	for range longtest.Count(t, longtest.Rounds, 3) {
		cmd := exec.Command(program, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(folder, "blocks")
		before, _ := os.Stat(file)
		eventually(t, "blocks arrive", func() bool { // or it is done
			now, err := os.Stat(file)
			return err == nil && (before == nil || now.Size() > before.Size() || had == blocks)
		})
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		store, err := chain.OpenFile(file)
		if err != nil {
			t.Fatal(err)
		}
		spans, _ := store.Range(t.Context(), 0, blocks)
		_ = store.Close()
		if len(spans) == 0 && had == 0 {
			continue
		}
		if len(spans) != 1 || spans[0].From != 1 || spans[0].To < had {
			t.Fatalf("%v is stored, after %d", spans, had)
		}
		had = spans[0].To
	}
	var got struct{ Height, Fetched uint64 }
	mustJSON(t, &got, args...)
	if got.Height != blocks || got.Fetched != blocks-had || had == 0 {
		t.Errorf("%+v, with %d blocks before", got, had)
	}
	if out := must(t, args[:len(args)-1]...); !strings.Contains(out, "were there") {
		t.Errorf("printed %q", out)
	}
}
