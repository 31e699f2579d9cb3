package eclipse

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

var (
	out   = flag.String("out", "", "run the whole grid and write its page, pictures and figures into this folder")
	seeds = flag.Int("seeds", 3, "runs of each cell of the grid")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runAll runs attacks, one a processor at a time.
func runAll(t *testing.T, attacks []Attack) []Result {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	results := make([]Result, len(attacks))
	var done atomic.Int64
	next := make(chan int)
	t.Run("runs", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for i := range next {
					synctest.Test(t, func(*testing.T) { results[i] = Run(attacks[i]) })
					if n := done.Add(1); n%16 == 0 {
						t.Logf("%d of %d", n, len(attacks))
					}
				}
			})
		}
		go func() {
			defer close(next)
			for i := range attacks {
				next <- i
			}
		}()
	})
	return results
}

// TestEclipse runs and checks a short attack. With -out it runs the whole grid and writes docs/eclipse.md, its pictures
// and its figures (make eclipse).
func TestEclipse(t *testing.T) {
	if *out == "" {
		testShort(t)
		return
	}
	all := Merge(runAll(t, Grid(*seeds)), *seeds)
	for name, write := range map[string]func(io.Writer, []Result) error{
		"eclipse.md":  func(w io.Writer, all []Result) error { return WriteReport(w, all, *seeds) },
		"eclipse.csv": WriteCSV, "eclipse-time.svg": DrawCourse, "eclipse-size.svg": DrawSizes,
	} {
		f, err := os.Create(filepath.Join(*out, name))
		if err == nil {
			err = write(f, all)
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// testShort checks that the attacker gets few links with all countermeasures and nearly all from the baselines, and
// that a run repeats.
func testShort(t *testing.T) {
	policies := Policies()
	var attacks []Attack
	for _, p := range []Policy{policies[0], policies[0], policies[len(policies)-2], policies[len(policies)-1]} {
		attacks = append(attacks, Attack{Addresses: 100_000, Groups: 16, Policy: p, Seed: 7,
			Time: Times{Peace: 2 * time.Hour, War: 10 * time.Hour, Restart: 2 * time.Hour}})
	}
	all := runAll(t, attacks)
	for i, r := range all {
		t.Logf("%-25s share %.2f, worst hour %.2f, eclipsed %.2f of the time, knows %d, %.2f of them his, %.1f links",
			r.Attack.Policy.Name, r.Share, r.Worst, r.Whole, r.Known, r.His, r.Links)
		switch baseline := i >= 2; {
		case r.Links < Slots-1:
			t.Errorf("%s: only %.1f outbound links", r.Attack.Policy.Name, r.Links)
		case baseline && r.Share < lostShare:
			t.Errorf("%s: the attack is too weak to show anything: the attacker has %.2f of the links",
				r.Attack.Policy.Name, r.Share)
		case !baseline && (r.Share > heldShare || r.Whole > 0):
			t.Errorf("with all countermeasures the attacker has %.2f of the links, more than %.2f, and all of them "+
				"%.2f of the time", r.Share, heldShare, r.Whole)
		}
	}
	if !slices.Equal(all[0].Shares, all[1].Shares) {
		t.Error("a run does not repeat")
	}
}

// The share of links that an attacker with 100,000 addresses in 16 groups gets at most with all countermeasures, and at
// least from the baselines.
const (
	heldShare = 0.35
	lostShare = 0.85
)
