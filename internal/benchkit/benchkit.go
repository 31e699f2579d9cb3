// Package benchkit measures two stacks side by side in one process and prints the ratios. The programs that `make
// bench` runs are built from it.
package benchkit

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/progress"
)

// Figure is the result of one measurement.
type Figure struct {
	Value  float64
	Allocs float64 // per unit
	Bytes  float64 // per unit
	CPU    float64 // µs of processor time per unit, both ends; it hardly depends on other load
}

// Measure runs a measurement of one side for about d.
type Measure func(d time.Duration) (Figure, error)

// Row is one row of the table.
type Row struct {
	Name, Unit   string
	Ours, Theirs Measure
	Goal         string // in words
}

var (
	rounds   = flag.Int("rounds", 3, "rounds of each measurement; medians are printed")
	duration = flag.Duration("time", 2*time.Second, "time of each measurement in a round")
	only     = flag.String("only", "", "run only measurements whose name contains this")
	alone    = flag.String("alone", "", "measure only one side: ours or theirs")
	cpuFile  = flag.String("cpuprofile", "", "write a CPU profile")
	memFile  = flag.String("memprofile", "", "write a profile of all allocations")
	list     = flag.Bool("list", false, "list the measurements and stop")
)

// Table is a table of rows.
type Table struct {
	Peer string // names the other side
	Rows []Row
}

// Main parses the command line, runs the rows of the tables and prints each table of which a row was chosen.
func Main(tables ...Table) {
	flag.Parse()
	if *list {
		for _, t := range tables {
			for _, r := range t.Rows {
				fmt.Println(r.Name)
			}
		}
		return
	}
	if err := run(tables); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(tables []Table) (err error) {
	end, err := profiles()
	if err != nil {
		return err
	}
	defer func() {
		if e := end(); err == nil {
			err = e
		}
	}()
	for _, t := range tables {
		chosen := slices.DeleteFunc(slices.Clone(t.Rows), func(r Row) bool { return !strings.Contains(r.Name, *only) })
		if len(chosen) == 0 {
			continue
		}
		if err := t.measure(chosen); err != nil {
			return err
		}
	}
	return nil
}

// measure runs rows and prints them.
func (t Table) measure(rows []Row) error {
	w := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "measurement\tours\t%s\tunit\tratio\tgoal\tour allocs\ttheirs\tour bytes\ttheirs\tour CPU "+
		"us\ttheirs\t\n", t.Peer)
	for _, r := range rows {
		var ours, theirs []Figure
		for n := range *rounds { // in turn, so that a drift of the machine hits both
			progress.Show("%-60s round %d of %d", r.Name, n+1, *rounds)
			for _, side := range []struct {
				name    string
				measure Measure
				to      *[]Figure
			}{{"ours", r.Ours, &ours}, {"theirs", r.Theirs, &theirs}} {
				if *alone != "" && *alone != side.name {
					continue
				}
				runtime.GC()
				f, err := side.measure(*duration)
				if err != nil {
					return fmt.Errorf("%s (%s): %w", r.Name, side.name, err)
				}
				*side.to = append(*side.to, f)
			}
		}
		o, t, ratio := median(ours), median(theirs), ""
		if len(ours) > 0 && len(theirs) > 0 {
			ratio = fmt.Sprintf("%.2f", o.Value/t.Value)
		}
		fmt.Fprintf(w, "%s\t%.6g\t%.6g\t%s\t%s\t%s\t%.2f\t%.2f\t%.0f\t%.0f\t%.4g\t%.4g\t\n",
			r.Name, o.Value, t.Value, r.Unit, ratio, r.Goal, o.Allocs, t.Allocs, o.Bytes, t.Bytes, o.CPU, t.CPU)
	}
	progress.End()
	return w.Flush()
}

// median returns the figure with the middle value, or the zero Figure if there is none.
func median(f []Figure) Figure {
	if len(f) == 0 {
		return Figure{}
	}
	slices.SortFunc(f, func(a, b Figure) int {
		if a.Value < b.Value {
			return -1
		}
		return 1
	})
	return f[len(f)/2]
}

// profiles starts the requested profiles and returns a function that ends them.
func profiles() (end func() error, err error) {
	var cpu *os.File
	if *cpuFile != "" {
		if cpu, err = os.Create(*cpuFile); err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(cpu); err != nil {
			return nil, err
		}
	}
	if *memFile != "" {
		runtime.MemProfileRate = 512
	}
	return func() error {
		if cpu != nil {
			pprof.StopCPUProfile()
			if err := cpu.Close(); err != nil {
				return err
			}
		}
		if *memFile == "" {
			return nil
		}
		f, err := os.Create(*memFile)
		if err != nil {
			return err
		}
		if err := pprof.Lookup("allocs").WriteTo(f, 0); err != nil {
			return err
		}
		return f.Close()
	}, nil
}
