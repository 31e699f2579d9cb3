// Command bench measures Switchyard beside CometBFT in one process and prints the ratios: set-ups, throughput, small messages, round trips, idle links.
// Both ends of everything run in this process over loopback TCP, from service to service: host channels on our side, reactors of a Switch on theirs.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/progress"
)

const network = "bench-net"

// pair is two connected nodes of one kind.
type pair interface {
	// stream sends msg n times from one service to the other and returns when all have arrived.
	stream(msg []byte, n int)
	// roundTrip sends msg and returns when the other service's answer is here.
	roundTrip(msg []byte)
	close()
}

// setups is a listener and some dialers of one kind.
type setups interface {
	// setup connects dialer i, returns when both ends are ready and have hung up again.
	setup(i int) error
	close()
}

// idle is a hub and some nodes, running and not linked yet.
type idle interface {
	link() error
	close()
}

const inFlight = 16

var (
	rounds   = flag.Int("rounds", 3, "rounds of each measurement; medians are printed")
	duration = flag.Duration("time", 2*time.Second, "time of each measurement in a round")
	only     = flag.String("only", "", "run only measurements whose name contains this")
	alone    = flag.Bool("alone", false, "measure only our side")
	profile  = flag.String("cpuprofile", "", "write a CPU profile of our side's measurements")
	tidy     = flag.Bool("list", false, "list the measurements and stop")
)

// figure is what one measurement gave.
type figure struct {
	value  float64
	allocs float64 // a unit
	bytes  float64 // a unit
}

type measurement struct {
	name, unit string
	lower      bool // less is better
	ours       func() (figure, error)
	theirs     func() (figure, error)
	goal       string
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
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			fatal(err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			fatal(err)
		}
		defer pprof.StopCPUProfile()
	}
	w := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "measurement\tours\tCometBFT v0.40.0\tunit\tratio\tgoal\tour allocs\ttheirs\tour bytes\ttheirs\t\n")
	for _, m := range all {
		if !strings.Contains(m.name, *only) {
			continue
		}
		ours, theirs := []figure{}, []figure{}
		for r := range *rounds { // in turn, so that a drift of the machine hits both
			progress.Show("%-40s round %d of %d", m.name, r+1, *rounds)
			f, err := run(m.ours)
			if err != nil {
				fatal(fmt.Errorf("%s: %w", m.name, err))
			}
			ours = append(ours, f)
			if m.theirs != nil && !*alone {
				if f, err = run(m.theirs); err != nil {
					fatal(fmt.Errorf("%s (CometBFT): %w", m.name, err))
				}
				theirs = append(theirs, f)
			}
		}
		o := median(ours)
		if len(theirs) == 0 {
			fmt.Fprintf(w, "%s\t%.6g\t\t%s\t\t%s\t%.2f\t\t%.0f\t\t\n", m.name, o.value, m.unit, m.goal, o.allocs, o.bytes)
			continue
		}
		t := median(theirs)
		fmt.Fprintf(w, "%s\t%.6g\t%.6g\t%s\t%.2f\t%s\t%.2f\t%.2f\t%.0f\t%.0f\t\n", m.name, o.value, t.value, m.unit, o.value/t.value, m.goal, o.allocs, t.allocs, o.bytes, t.bytes)
	}
	progress.End()
	_ = w.Flush()
}

func run(fn func() (figure, error)) (figure, error) {
	runtime.GC()
	return fn()
}

func median(f []figure) figure {
	slices.SortFunc(f, func(a, b figure) int {
		if a.value < b.value {
			return -1
		}
		return 1
	})
	return f[len(f)/2]
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

// counted runs fn, which does some units of work, and divides what it allocated by them.
func counted(fn func() (units int, value float64, err error)) (figure, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	units, value, err := fn()
	runtime.ReadMemStats(&after)
	n := float64(max(units, 1))
	return figure{value: value, allocs: float64(after.Mallocs-before.Mallocs) / n, bytes: float64(after.TotalAlloc-before.TotalAlloc) / n}, err
}

func measureSetups(make func(n int) (setups, error)) func() (figure, error) {
	return func() (figure, error) {
		s, err := make(inFlight)
		if err != nil {
			return figure{}, err
		}
		defer s.close()
		for i := range inFlight { // warm
			if err := s.setup(i); err != nil {
				return figure{}, err
			}
		}
		return counted(func() (int, float64, error) {
			var n atomic.Int64
			var wg sync.WaitGroup
			var failed atomic.Pointer[error]
			began := time.Now()
			for i := range inFlight {
				wg.Go(func() {
					for time.Since(began) < *duration {
						if err := s.setup(i); err != nil {
							failed.Store(&err)
							return
						}
						n.Add(1)
					}
				})
			}
			wg.Wait()
			took := time.Since(began)
			if err := failed.Load(); err != nil {
				return 0, 0, *err
			}
			return int(n.Load()), float64(n.Load()) / took.Seconds(), nil
		})
	}
}

func measureStream(make func([]byte) (pair, error), size int, value func(perSecond float64) float64) func() (figure, error) {
	return func() (figure, error) {
		p, err := make(nil)
		if err != nil {
			return figure{}, err
		}
		defer p.close()
		msg := payload(size)
		n := 1000
		var rate float64
		for { // warm up and find how many take about the wanted time
			began := time.Now()
			p.stream(msg, n)
			took := time.Since(began)
			rate = float64(n) / took.Seconds()
			if took > *duration/8 {
				break
			}
			n *= 2
		}
		n = int(rate * duration.Seconds())
		return counted(func() (int, float64, error) {
			began := time.Now()
			p.stream(msg, n)
			return n, value(float64(n) / time.Since(began).Seconds()), nil
		})
	}
}

func measureRoundTrip(make func([]byte) (pair, error), q float64, most int) func() (figure, error) {
	return func() (figure, error) {
		p, err := make(nil)
		if err != nil {
			return figure{}, err
		}
		defer p.close()
		msg := payload(100)
		for range min(100, most) {
			p.roundTrip(msg)
		}
		return counted(func() (int, float64, error) {
			var took []time.Duration
			for began := time.Now(); time.Since(began) < *duration && len(took) < most*1000; {
				t := time.Now()
				p.roundTrip(msg)
				took = append(took, time.Since(t))
			}
			slices.Sort(took)
			return len(took), float64(took[int(float64(len(took)-1)*q)].Nanoseconds()) / 1000, nil
		})
	}
}

// measureIdle runs a hub and some nodes, links them, and reports what one end of an idle link holds: heap and stacks in bytes, or goroutines.
func measureIdle(make func(n int, channels []byte) (idle, error), channels []byte, goroutines bool) func() (figure, error) {
	return func() (figure, error) {
		const n = 40
		use := func() (float64, float64) {
			for range 4 {
				runtime.GC()
				time.Sleep(50 * time.Millisecond)
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return float64(m.HeapAlloc + m.StackInuse), float64(runtime.NumGoroutine())
		}
		l, err := make(n, channels)
		if err != nil {
			return figure{}, err
		}
		defer l.close()
		bytes, routines := use()
		if err := l.link(); err != nil {
			return figure{}, err
		}
		bytes2, routines2 := use()
		if goroutines {
			return figure{value: (routines2 - routines) / (2 * n)}, nil
		}
		return figure{value: (bytes2 - bytes) / (2 * n)}, nil
	}
}

func payload(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}
