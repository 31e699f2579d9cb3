package benchkit

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// InFlight is the number of concurrent set-ups.
const InFlight = 16

// restingLinks is the number of links over which AtRest averages.
const restingLinks = 100

// Pair is two linked nodes of one kind.
type Pair interface {
	// Stream sends msg n times from one end to the other and returns when all have arrived.
	Stream(msg []byte, n int) error
	// RoundTrip sends msg and returns when the answer has arrived.
	RoundTrip(msg []byte) error
	Close()
}

// Star is a hub and nodes that dial it. All run; none is linked yet.
type Star interface {
	// Setup links node i and the hub, and returns when both are ready.
	Setup(i int) error
	// Hangup ends the link and returns when both ends know.
	Hangup(i int) error
	Close()
}

// Setups measures how many links per second come up and end again, InFlight at a time.
func Setups(open func(n int) (Star, error)) Measure {
	return func(d time.Duration) (Figure, error) {
		s, err := open(InFlight)
		if err != nil {
			return Figure{}, err
		}
		defer s.Close()
		cycle := func(i int) error {
			if err := s.Setup(i); err != nil {
				return err
			}
			return s.Hangup(i)
		}
		for i := range InFlight { // warm
			if err := cycle(i); err != nil {
				return Figure{}, err
			}
		}
		return Counted(func() (int, float64, error) {
			var n atomic.Int64
			var wg sync.WaitGroup
			var failed atomic.Pointer[error]
			began := time.Now()
			for i := range InFlight {
				wg.Go(func() {
					for time.Since(began) < d && failed.Load() == nil {
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

// Readiness measures the median time in ms from dial until both ends are ready, one link at a time.
func Readiness(open func(n int) (Star, error)) Measure {
	return func(d time.Duration) (Figure, error) {
		s, err := open(1)
		if err != nil {
			return Figure{}, err
		}
		defer s.Close()
		var took []time.Duration
		for began := time.Now(); len(took) < 20 || time.Since(began) < d; {
			t := time.Now()
			if err := s.Setup(0); err != nil {
				return Figure{}, err
			}
			took = append(took, time.Since(t))
			if err := s.Hangup(0); err != nil {
				return Figure{}, err
			}
		}
		return Figure{Value: float64(quantile(took, 0.5).Nanoseconds()) / 1e6}, nil
	}
}

// Rate measures the throughput of messages of size bytes, in messages or MB per second.
func Rate(open func() (Pair, error), size int, megabytes bool) Measure {
	return func(d time.Duration) (Figure, error) {
		p, err := open()
		if err != nil {
			return Figure{}, err
		}
		defer p.Close()
		msg := payload(size)
		n := 1000
		var perSecond float64
		for { // warm up, and find the number of messages that takes about d
			began := time.Now()
			if err := p.Stream(msg, n); err != nil {
				return Figure{}, err
			}
			took := time.Since(began)
			perSecond = float64(n) / took.Seconds()
			if took > d/8 {
				break
			}
			n *= 2
		}
		n = max(int(perSecond*d.Seconds()), 1)
		return Counted(func() (int, float64, error) {
			began := time.Now()
			err := p.Stream(msg, n)
			perSecond := float64(n) / time.Since(began).Seconds()
			if megabytes {
				perSecond *= float64(size) / 1e6
			}
			return n, perSecond, err
		})
	}
}

// RoundTrips measures the quantile q, in µs, of round trips of 100 B on an idle link.
func RoundTrips(open func() (Pair, error), q float64) Measure {
	return func(d time.Duration) (Figure, error) {
		p, err := open()
		if err != nil {
			return Figure{}, err
		}
		defer p.Close()
		msg := payload(100)
		began := time.Now()
		for n := 0; n < 1000 && time.Since(began) < d/4; n++ { // warm
			if err := p.RoundTrip(msg); err != nil {
				return Figure{}, err
			}
		}
		return Counted(func() (int, float64, error) {
			took := make([]time.Duration, 0, 1<<18)
			for began := time.Now(); len(took) == 0 || time.Since(began) < d && len(took) < cap(took); {
				t := time.Now()
				if err := p.RoundTrip(msg); err != nil {
					return 0, 0, err
				}
				took = append(took, time.Since(t))
			}
			return len(took), float64(quantile(took, q).Nanoseconds()) / 1000, nil
		})
	}
}

// Held is what this process holds.
type Held struct {
	Heap, Stacks float64 // in bytes, after a garbage collection
	Goroutines   float64
}

// InUse collects garbage and tells what this process holds. It takes 200 ms.
func InUse() Held {
	for range 4 {
		runtime.GC()
		time.Sleep(50 * time.Millisecond)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Held{float64(m.HeapAlloc), float64(m.StackInuse), float64(runtime.NumGoroutine())}
}

// AtRest measures what one end of an idle link holds: heap and stacks in bytes, or goroutines. The cost of the first
// link, which includes what all links share, is left out.
func AtRest(open func(n int) (Star, error), goroutines bool) Measure {
	return func(time.Duration) (Figure, error) {
		s, err := open(restingLinks + 1)
		if err != nil {
			return Figure{}, err
		}
		defer s.Close()
		if err := s.Setup(0); err != nil {
			return Figure{}, err
		}
		before := InUse()
		for i := range restingLinks {
			if err := s.Setup(i + 1); err != nil {
				return Figure{}, err
			}
		}
		time.Sleep(500 * time.Millisecond) // let goroutines of the set-up end
		after := InUse()
		if goroutines {
			return Figure{Value: (after.Goroutines - before.Goroutines) / (2 * restingLinks)}, nil
		}
		return Figure{Value: (after.Heap + after.Stacks - before.Heap - before.Stacks) / (2 * restingLinks)}, nil
	}
}

// Counted runs fn and divides the CPU time and allocations by the units of work that fn reports.
func Counted(fn func() (units int, value float64, err error)) (Figure, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	used := processorTime()
	units, value, err := fn()
	used = processorTime() - used
	runtime.ReadMemStats(&after)
	n := float64(max(units, 1))
	return Figure{Value: value, CPU: float64(used.Nanoseconds()) / 1e3 / n,
		Allocs: float64(after.Mallocs-before.Mallocs) / n, Bytes: float64(after.TotalAlloc-before.TotalAlloc) / n}, err
}

// quantile returns the quantile q of d, which it sorts.
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
