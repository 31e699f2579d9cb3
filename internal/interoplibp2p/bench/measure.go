package main

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// pair is two linked nodes of one kind, and what is measured between them.
type pair interface {
	// stream writes msg n times from one end to the other and returns when all has arrived.
	stream(msg []byte, n int) error
	// roundTrip sends msg and returns when the answer is here.
	roundTrip(msg []byte) error
	close()
}

// star is a hub and nodes that dial it. They run, and are not linked yet.
type star interface {
	// setup links node i and the hub, and returns when both are ready.
	setup(i int) error
	// hangup ends that link, and returns when both ends know.
	hangup(i int) error
	close()
}

// processorTime is what this process has used; 0 where the system does not tell.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// counted runs fn, which does some units of work, and divides what it allocated by them.
func counted(fn func() (units int, value float64, err error)) (figure, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	used := processorTime()
	units, value, err := fn()
	used = processorTime() - used
	runtime.ReadMemStats(&after)
	n := float64(max(units, 1))
	return figure{value: value, cpu: float64(used.Nanoseconds()) / 1e3 / n, allocs: float64(after.Mallocs-before.Mallocs) / n, bytes: float64(after.TotalAlloc-before.TotalAlloc) / n}, err
}

// setups is how many links a second come up, and go again, with inFlight at a time.
func setups(open func(n int) (star, error)) func() (figure, error) {
	return func() (figure, error) {
		s, err := open(inFlight)
		if err != nil {
			return figure{}, err
		}
		defer s.close()
		cycle := func(i int) error {
			if err := s.setup(i); err != nil {
				return err
			}
			return s.hangup(i)
		}
		for i := range inFlight { // warm
			if err := cycle(i); err != nil {
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
					for time.Since(began) < *duration && failed.Load() == nil {
						if err := cycle(i); err != nil {
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

// readiness is the time, in ms, until both ends are ready, one link after another.
func readiness(open func(n int) (star, error)) func() (figure, error) {
	return func() (figure, error) {
		s, err := open(1)
		if err != nil {
			return figure{}, err
		}
		defer s.close()
		var took []time.Duration
		for began := time.Now(); len(took) < 20 || time.Since(began) < *duration; {
			t := time.Now()
			if err := s.setup(0); err != nil {
				return figure{}, err
			}
			took = append(took, time.Since(t))
			if err := s.hangup(0); err != nil {
				return figure{}, err
			}
		}
		return figure{value: float64(quantile(took, 0.5).Nanoseconds()) / 1e6}, nil
	}
}

// rate is how many messages of size bytes a second get through, or how many MB.
func rate(open func() (pair, error), size int, megabytes bool) func() (figure, error) {
	return func() (figure, error) {
		p, err := open()
		if err != nil {
			return figure{}, err
		}
		defer p.close()
		msg := payload(size)
		n := 1000
		var perSecond float64
		for { // warm up, and find how many take about the wanted time
			began := time.Now()
			if err := p.stream(msg, n); err != nil {
				return figure{}, err
			}
			took := time.Since(began)
			perSecond = float64(n) / took.Seconds()
			if took > *duration/8 {
				break
			}
			n *= 2
		}
		n = int(perSecond * duration.Seconds())
		return counted(func() (int, float64, error) {
			began := time.Now()
			err := p.stream(msg, n)
			perSecond := float64(n) / time.Since(began).Seconds()
			if megabytes {
				perSecond *= float64(size) / 1e6
			}
			return n, perSecond, err
		})
	}
}

// roundTrips is a quantile, in µs, of round trips of 100 B on an idle link.
func roundTrips(open func() (pair, error), q float64) func() (figure, error) {
	return func() (figure, error) {
		p, err := open()
		if err != nil {
			return figure{}, err
		}
		defer p.close()
		msg := payload(100)
		for range 1000 {
			if err := p.roundTrip(msg); err != nil {
				return figure{}, err
			}
		}
		return counted(func() (int, float64, error) {
			took := make([]time.Duration, 0, 1<<18)
			for began := time.Now(); time.Since(began) < *duration && len(took) < cap(took); {
				t := time.Now()
				if err := p.roundTrip(msg); err != nil {
					return 0, 0, err
				}
				took = append(took, time.Since(t))
			}
			return len(took), float64(quantile(took, q).Nanoseconds()) / 1000, nil
		})
	}
}

// atRest is what one end of an idle link holds: heap and stacks in bytes, or goroutines.
func atRest(open func(n int) (star, error), goroutines bool) func() (figure, error) {
	return func() (figure, error) {
		const n = 100
		use := func() (float64, float64) {
			for range 4 {
				runtime.GC()
				time.Sleep(50 * time.Millisecond)
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return float64(m.HeapAlloc + m.StackInuse), float64(runtime.NumGoroutine())
		}
		s, err := open(n)
		if err != nil {
			return figure{}, err
		}
		defer s.close()
		if err := s.setup(0); err != nil { // what all links share
			return figure{}, err
		}
		bytes, routines := use()
		for i := 1; i < n; i++ {
			if err := s.setup(i); err != nil {
				return figure{}, err
			}
		}
		time.Sleep(500 * time.Millisecond) // what ends soon after a set-up has ended
		bytes2, routines2 := use()
		if goroutines {
			return figure{value: (routines2 - routines) / (2 * (n - 1))}, nil
		}
		return figure{value: (bytes2 - bytes) / (2 * (n - 1))}, nil
	}
}

func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[int(float64(len(d)-1)*q)]
}

func payload(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}
