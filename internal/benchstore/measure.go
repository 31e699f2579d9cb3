package main

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// operation is one row for each book and size.
type operation struct{ name, unit string }

func (o operation) full() string { return "store: " + o.name }
func (o operation) wanted() bool { return strings.Contains(o.full(), *only) }

// The operations, in the order in which a visit measures them.
const (
	opMemory    = "bytes a peer"
	opWritten   = "written behind"
	opAdd       = "add"
	opCycle     = "add, pick, fail"
	opManage    = "add, DialNext, DialFailed"
	opPick      = "pick"
	opAdvertise = "advertise 100"
	opTell      = "Advertise 100"
	opSave      = "save"
	opLoad      = "load"
	opHeld      = "peers held"
)

var operations = []operation{{opAdd, "us"}, {opCycle, "us"}, {opManage, "us"}, {opPick, "us"}, {opAdvertise, "us"}, {opTell, "us"}, {opMemory, "B"}, {opWritten, "peers/s"}, {opSave, "ms"}, {opLoad, "ms"}, {opHeld, ""}}

// figure is what one measurement gave.
type figure struct {
	value float64
	cpu   float64 // processor time in the same unit, of all threads; 0 where it means nothing
}

var errBudget = errors.New("the budget is spent")

// visit fills a book of a kind with n peers and measures all operations on it.
func visit(k kind, n int) (map[string]figure, error) {
	if k.visit != nil {
		return k.visit(n)
	}
	settle()
	dir, err := os.MkdirTemp("", "benchstore")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	extra := max(n/10, 1000)
	peers := makePeers(n + 3*extra)
	b, err := k.open(dir, peers)
	if err != nil {
		return nil, err
	}
	out := map[string]figure{}
	before := heap()
	b.prepare(0, n)
	began, used := time.Now(), processorTime()
	for i := range n {
		if b.add(i); i%1000 == 0 && (processorTime()-used > *budget || time.Since(began) > 5**budget) {
			_ = b.close()
			return nil, errBudget
		}
	}
	b.learned()
	out[opHeld] = figure{value: float64(b.held())}
	out[opMemory] = figure{value: float64(int64(heap())-int64(before)) / float64(b.held())}
	runtime.KeepAlive(peers)

	if !k.lacks[opWritten] {
		f, err := once(func() error { return b.written() })
		if err != nil {
			return nil, err
		}
		out[opWritten] = figure{value: float64(n) / f.value * 1e3}
	}
	if k.disk {
		rest()
	}
	b.prepare(n, n+3*extra)
	next := n
	if r, ok := b.(interface{ run() }); ok { // from here on it writes in the background
		r.run()
	}
	out[opAdd] = repeat(extra, func() bool { b.add(next); next++; return true })
	if !k.lacks[opCycle] {
		out[opCycle] = repeat(extra, func() bool { b.add(next); next++; return b.fail() })
	}
	m, managed := b.(manager)
	if managed {
		out[opManage] = repeat(extra, func() bool { b.add(next); next++; return m.dialFails() })
		out[opTell] = repeat(1<<30, func() bool { return m.tell() > 0 })
	}
	if !k.lacks[opPick] {
		out[opPick] = repeat(1<<30, b.pick)
	}
	if !k.lacks[opAdvertise] {
		out[opAdvertise] = repeat(1<<30, func() bool { return b.advertise() > 0 })
	}
	save, err := once(b.close)
	if err != nil {
		return nil, err
	}
	if k.lacks[opLoad] {
		return clean(out), nil
	}
	if !k.lacks[opSave] {
		out[opSave] = save
	}
	b = nil
	runtime.GC()
	load, err := once(func() (err error) { b, err = k.open(dir, peers); return err })
	if err != nil {
		return nil, err
	}
	out[opLoad] = load
	if b.held() == 0 {
		err = errors.New("nothing was loaded")
	}
	return clean(out), errors.Join(err, b.close())
}

// clean leaves out what was not asked for, and what failed.
func clean(out map[string]figure) map[string]figure {
	for _, o := range operations {
		if f, ok := out[o.name]; ok && (!o.wanted() || f.value < 0) {
			delete(out, o.name)
		}
	}
	return out
}

// repeat calls fn until the time of a measurement is over, or it has been called most times, or fails, and gives µs a call; -1 when it failed at once.
func repeat(most int, fn func() bool) figure {
	used, began := processorTime(), time.Now()
	n := 0
	var took time.Duration
	for step := 1; n < most && took < *duration; step = min(2*step, 256) { // the clock is read seldom
		for range min(step, most-n) {
			if !fn() {
				most = n
				break
			}
			n++
		}
		took = time.Since(began)
	}
	if n == 0 {
		return figure{value: -1}
	}
	used = processorTime() - used
	return figure{value: micros(took) / float64(n), cpu: micros(used) / float64(n)}
}

// settle waits for what earlier visits left running: it would hold on to their memory.
func settle() {
	for i := 0; i < 300 && runtime.NumGoroutine() > 2; i++ {
		time.Sleep(10 * time.Millisecond)
	}
}

// rest waits until a database has done what it does in the background with so many new records at once: a node in its days is past that.
func rest() {
	const step = 100 * time.Millisecond
	quiet := 0
	for i := 0; i < 300 && quiet < 5; i++ {
		used := processorTime()
		time.Sleep(step)
		if quiet++; processorTime()-used > step/10 {
			quiet = 0
		}
	}
}

// once measures one call, in ms.
func once(fn func() error) (figure, error) {
	used, began := processorTime(), time.Now()
	err := fn()
	took := time.Since(began)
	return figure{value: micros(took) / 1e3, cpu: micros(processorTime()-used) / 1e3}, err
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// processorTime is what this process has used; 0 where the system does not tell.
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
