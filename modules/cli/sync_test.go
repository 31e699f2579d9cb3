package cli

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host/backfill"
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
