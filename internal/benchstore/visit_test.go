package main

import (
	"testing"
	"time"
)

// Every book keeps what it is told, and gives a figure for every operation that it has.
func TestVisits(t *testing.T) {
	*duration = time.Millisecond
	for _, k := range kinds {
		if k.visit != nil {
			continue // a process of its own, which make bench builds
		}
		t.Run(k.name, func(t *testing.T) {
			const n = 300
			out, err := visit(k, n)
			if err != nil {
				t.Fatal(err)
			}
			if held := out[opHeld].value; held < 0.95*n || held > n {
				t.Errorf("holds %v of %d peers", held, n)
			}
			for _, o := range operations {
				if _, ok := out[o.name]; !ok && !k.lacks[o.name] && (k.ours || o.name != opManage && o.name != opTell) {
					t.Errorf("no figure for %q", o.name)
				}
			}
		})
	}
}
