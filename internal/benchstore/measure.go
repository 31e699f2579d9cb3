package main

import (
	"runtime"
	"syscall"
	"time"
)

// sample is the result of one visit for one operation.
type sample struct {
	calls int
	value float64 // a call, in the operation's unit
	cpu   float64 // processor time a call in the same unit, of all threads; 0 where it is meaningless
}

// stopwatch adds up times, wall and processor.
type stopwatch struct{ took, used time.Duration }

// time adds the time that fn takes.
func (w *stopwatch) time(fn func() error) error {
	used, began := processorTime(), time.Now()
	err := fn()
	w.took += time.Since(began)
	w.used += processorTime() - used
	return err
}

// sample returns the time of one call, in units.
func (w *stopwatch) sample(calls int, unit time.Duration) sample {
	a := func(d time.Duration) float64 { return float64(d) / float64(unit) / float64(calls) }
	return sample{calls, a(w.took), a(w.used)}
}

// once measures one call, in ms.
func once(fn func() error) (sample, error) {
	var w stopwatch
	err := w.time(fn)
	return w.sample(1, time.Millisecond), err
}

// series measures up to most short calls, for at most limit (0: no limit), in µs a call. It first makes a tenth of the
// calls as a warm-up and collects the garbage. after, unless nil, runs the work that the calls put off, and measures a
// part of it with the watch. All books pause before it, so that the processor's caches are alike for all.
func series(most int, limit time.Duration, call func() error, after func(*stopwatch) error) (sample, error) {
	repeat := func(most int, limit time.Duration) (n int, err error) {
		began := time.Now()
		// the clock is read seldom
		for step := 1; n < most && (limit == 0 || time.Since(began) < limit); step = min(2*step, 256) {
			for range min(step, most-n) {
				if err := call(); err != nil {
					return n, err
				}
				n++
			}
		}
		return n, nil
	}
	if after == nil {
		after = func(*stopwatch) error { return nil }
	}
	warm := max(1, most/10)
	if _, err := repeat(warm, limit/10); err != nil {
		return sample{}, err
	}
	time.Sleep(pause)
	if err := after(new(stopwatch)); err != nil {
		return sample{}, err
	}
	runtime.GC()
	var w stopwatch
	n := 0
	err := w.time(func() (err error) { n, err = repeat(most-warm, limit); return err })
	if err == nil {
		time.Sleep(pause)
		err = after(&w)
	}
	return w.sample(max(n, 1), time.Microsecond), err
}

// settle waits for goroutines of earlier visits to end, as they hold on to memory.
func settle() {
	for i := 0; i < 300 && runtime.NumGoroutine() > 2; i++ {
		time.Sleep(10 * time.Millisecond)
	}
}

// waitIdle waits until a database has finished its background work on so many new records.
func waitIdle(step time.Duration) {
	quiet := 0
	for i := 0; i < 300 && quiet < 5; i++ {
		used := processorTime()
		time.Sleep(step)
		if quiet++; processorTime()-used > step/10 {
			quiet = 0
		}
	}
}

// processorTime returns the processor time of this process; 0 if the system does not report it.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
