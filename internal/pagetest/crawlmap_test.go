package pagetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/discovery/crawl"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The page of a crawl's map: what its nodes say of themselves does nothing, a click and the list show a node, the
// search finds it, and its policy and the rules of accessibility hold.
func TestCrawlMap(t *testing.T) {
	if form(t) == "bench" {
		t.Skip("only figures were asked for")
	}
	t.Parallel()
	dir := t.TempDir()
	files := obj{}
	for _, n := range []int{1, 60, 1000} {
		name := filepath.Join(dir, fmt.Sprintf("map-%d.html", n))
		var page bytes.Buffer
		if err := crawled(t, n).WriteHTML(&page); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, page.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		files[fmt.Sprint(n)] = "file://" + name
	}
	runBrowser(t, "crawlmap.mjs", obj{"files": files, "shots": shotsFolder(t)})
}

// crawled is the map of n nodes that were visited, in groups, and of some that were not found.
func crawled(t *testing.T, n int) *crawl.Map {
	t.Helper()
	address := func(i int) transport.Address {
		a, err := transport.ParseAddress(fmt.Sprintf("%040x@80.%d.%d.1:26656", uint64(i)*0x9e3779b1+1, i>>8, i&255))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	names := []string{"</script><script>document.title='owned'</script>", "\u202eevil", "val-eu", "sentry",
		"<img src=x onerror=document.title='owned'>"}
	var journal bytes.Buffer
	for i := range n {
		a := address(i)
		v := crawl.Visit{V: crawl.Version, Time: time.Date(2026, 11, 30, 12, 0, i, 0, time.UTC), Network: "harbor-1",
			Address: a, ID: a.ID(), Seed: i == 0, Dials: 1, Outcome: crawl.Reached, Proven: a.ID(), Wire: "comet",
			Transport: "tcp", RTT: float64(i%90) + 0.5, Info: &crawl.Info{Moniker: names[i%len(names)] + fmt.Sprint(i),
				Network: "harbor-1", Version: fmt.Sprintf("0.%d.1", 37+i%4)}, PEX: &crawl.Answer{Answered: true}}
		switch {
		case i%11 == 7:
			v.Outcome, v.PEX = crawl.Full, nil
		case i%5 == 1:
			v.Wire = "libp2p"
		case i%5 == 3:
			v.Wire, v.Transport = "libp2p", "quic"
		}
		if v.Outcome == crawl.Reached {
			for k := range min(n-1, 60) {
				group := i / 100 * 100
				j := group + (i+k*k+1)%min(100, n-group)
				if k%4 == 0 {
					j = (i*31 + k*97) % (n + n/5) // some of which nobody has visited
				}
				if j != i {
					v.Heard = append(v.Heard, address(j))
				}
			}
		}
		if err := json.NewEncoder(&journal).Encode(&v); err != nil {
			t.Fatal(err)
		}
	}
	m, err := crawl.Read(&journal)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
