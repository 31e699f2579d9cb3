// Command bench measures Switchyard beside go-libp2p v0.51.0 in one process and prints the ratios: set-ups, throughput, small messages, round trips, idle
// links, over TCP+Noise, TCP+TLS and QUIC. Both ends of everything run in this process over loopback. Ours are whole hosts, and messages go from service to
// service through host channels; theirs are whole hosts too, and messages are length-prefixed on a bare stream, as go-libp2p has no channels.
package main

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

const network = "bench-net"

// inFlight is how many set-ups are under way at a time.
const inFlight = 16

var (
	rounds   = flag.Int("rounds", 3, "rounds of each measurement; medians are printed")
	duration = flag.Duration("time", 2*time.Second, "time of each measurement in a round")
	only     = flag.String("only", "", "run only measurements whose name contains this")
	alone    = flag.String("alone", "", "measure only one side: ours or theirs")
	cpuFile  = flag.String("cpuprofile", "", "write a CPU profile")
	memFile  = flag.String("memprofile", "", "write a profile of all allocations")
	tidy     = flag.Bool("list", false, "list the measurements and stop")
)

// figure is what one measurement gave.
type figure struct {
	value  float64
	allocs float64 // a unit
	bytes  float64 // a unit
	cpu    float64 // µs of processor time a unit, both ends; it hardly depends on what else the machine does
}

// measurement is a row of the table.
type measurement struct {
	name, unit   string
	ours, theirs func() (figure, error)
	goal         string // of the ratio ours / theirs
}

func main() {
	flag.Parse()
	all := measurements()
	if *tidy {
		for _, m := range all {
			fmt.Println(m.name)
		}
		return
	}
	defer profiles()()
	w := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "measurement\tours\tgo-libp2p v0.51.0\tunit\tratio\tgoal\tour allocs\ttheirs\tour bytes\ttheirs\tour CPU us\ttheirs\t\n")
	for _, m := range all {
		if !strings.Contains(m.name, *only) {
			continue
		}
		var ours, theirs []figure
		for r := range *rounds { // in turn, so that a drift of the machine hits both
			progress.Show("%-60s round %d of %d", m.name, r+1, *rounds)
			for _, side := range []struct {
				name string
				run  func() (figure, error)
				to   *[]figure
			}{{"ours", m.ours, &ours}, {"theirs", m.theirs, &theirs}} {
				if *alone != "" && *alone != side.name {
					continue
				}
				runtime.GC()
				f, err := side.run()
				if err != nil {
					fatal(fmt.Errorf("%s (%s): %w", m.name, side.name, err))
				}
				*side.to = append(*side.to, f)
			}
		}
		row(w, m, ours, theirs)
	}
	progress.End()
	_ = w.Flush()
}

func row(w *tabwriter.Writer, m measurement, ours, theirs []figure) {
	o, t := median(ours), median(theirs)
	ratio := ""
	if len(ours) > 0 && len(theirs) > 0 {
		ratio = fmt.Sprintf("%.2f", o.value/t.value)
	}
	fmt.Fprintf(w, "%s\t%.6g\t%.6g\t%s\t%s\t%s\t%.2f\t%.2f\t%.0f\t%.0f\t%.4g\t%.4g\t\n",
		m.name, o.value, t.value, m.unit, ratio, m.goal, o.allocs, t.allocs, o.bytes, t.bytes, o.cpu, t.cpu)
}

func median(f []figure) figure {
	if len(f) == 0 {
		return figure{}
	}
	slices.SortFunc(f, func(a, b figure) int {
		if a.value < b.value {
			return -1
		}
		return 1
	})
	return f[len(f)/2]
}

// profiles begins the profiles that are asked for, and returns what ends them.
func profiles() func() {
	var ends []func()
	if *cpuFile != "" {
		f, err := os.Create(*cpuFile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fatal(err)
		}
		ends = append(ends, func() { pprof.StopCPUProfile(); f.Close() })
	}
	if *memFile != "" {
		runtime.MemProfileRate = 512
		ends = append(ends, func() {
			f, err := os.Create(*memFile)
			if err == nil {
				err = pprof.Lookup("allocs").WriteTo(f, 0)
			}
			if err != nil {
				fatal(err)
			}
			f.Close()
		})
	}
	return func() {
		for _, end := range ends {
			end()
		}
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}
