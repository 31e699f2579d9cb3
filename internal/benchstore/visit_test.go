package main

import (
	"testing"
	"time"
)

// Every book keeps the peers that it learns, also over a restart, and gives a figure for every operation that it has: a
// visit fails if a call has no result.
func TestVisits(t *testing.T) {
	*duration = 50 * time.Millisecond
	const n = 500
	peers := makePeers(n + 3*grown(n))
	for _, k := range kinds {
		if k.visit != nil {
			continue // a process of its own, which make bench builds
		}
		t.Run(k.name, func(t *testing.T) {
			out, err := visitHere(k, n, peers)
			if err != nil {
				t.Fatal(err)
			}
			if held := out[opHeld].value; held < 0.95*n || held > n {
				t.Errorf("holds %v of %d peers", held, n)
			}
			if kept := out[opNew].value; kept < 90 || kept > 100 {
				t.Errorf("%v %% of the adds that were measured made the book grow", kept)
			}
			for _, o := range operations {
				s, ok := out[o.name]
				switch {
				case ok && (s.calls == 0 || s.value <= 0 && o.name != opStored):
					// a database may hold less than when it was opened
					t.Errorf("%q: %+v", o.name, s)
				case !ok && !k.lacks[o.name] && (k.ours || o.name != opManage && o.name != opTell) &&
					(k.disk || o.name != opStored):
					t.Errorf("no figure for %q", o.name)
				}
			}
		})
	}
}

// The peers are all different.
func TestPeers(t *testing.T) {
	const n = 200_000
	ids, ips := map[string]bool{}, map[string]bool{}
	for _, p := range makePeers(n) {
		ids[p.hexID()], ips[p.ip.String()] = true, true
	}
	if len(ids) != n || len(ips) != n {
		t.Errorf("%d ids and %d IPs of %d peers", len(ids), len(ips), n)
	}
}

func TestSum(t *testing.T) {
	c := sum([][]sample{{{10, 1, 4}, {30, 5, 8}}, {{10, 2, 1}}, {{10, 3, 2}, {10, 100, 4}}})
	if want := (cell{Value: 3, Low: 2, High: 5, CPU: 3, Visits: 5, Calls: 70}); c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
}
