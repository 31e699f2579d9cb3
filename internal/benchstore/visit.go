package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// operation is one row for each book and size.
type operation struct{ name, unit string }

func (o operation) full() string { return "store: " + o.name }
func (o operation) wanted() bool { return strings.Contains(o.full(), *only) }

const (
	opMemory    = "bytes a peer"
	opStored    = "bytes a peer, written"
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
	opNew       = "adds that are kept"
)

var operations = []operation{{opAdd, "us"}, {opCycle, "us"}, {opManage, "us"}, {opPick, "us"}, {opAdvertise, "us"},
	{opTell, "us"}, {opMemory, "B"}, {opStored, "B"}, {opWritten, "peers/s"}, {opSave, "ms"}, {opLoad, "ms"},
	{opHeld, ""}, {opNew, "%"}}

var errBudget = errors.New("the budget is spent")

// enough is how many peers a round adds in each of the measurements that add some.
const enough = 50_000

// grown is by how much each of these measurements lets a book of n peers grow, so that it stays one of about n.
func grown(n int) int { return n / 10 }

// briefly is the time of a measurement that does not let the book grow: small books are visited more often.
func briefly(n int) time.Duration {
	return min(*duration, max(*duration/30, *duration*time.Duration(n)/100_000))
}

// round visits one new book of n peers after the other, until enough peers were added or the time is over.
func round(k kind, n int, peers []peer) (all []map[string]sample, err error) {
	began := time.Now()
	for v := 0; v == 0 || v*grown(n) < enough && time.Since(began) < *visits; v++ {
		settle()
		visit := k.visit
		if visit == nil {
			visit = func(n int, peers []peer) (map[string]sample, error) { return visitHere(k, n, peers) }
		}
		out, err := visit(n, peers)
		if err != nil {
			return nil, err
		}
		all = append(all, out)
	}
	return all, nil
}

// visitHere fills a book of a kind with n peers and measures all operations on it. It fails if an operation has no
// effect.
func visitHere(k kind, n int, peers []peer) (map[string]sample, error) {
	dir, err := os.MkdirTemp("", "benchstore")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b, err := k.open(dir, peers)
	if err != nil {
		return nil, err
	}
	out, err := use(k, b, n)
	if err != nil {
		_ = b.close()
		return nil, err
	}
	held := b.held()
	save, err := once(b.close)
	if err != nil || k.lacks[opLoad] {
		return out, err
	}
	if !k.lacks[opSave] {
		out[opSave] = save
	}
	b = nil
	runtime.GC()
	out[opLoad], err = once(func() (err error) { b, err = k.open(dir, peers); return err })
	if err != nil {
		return nil, err
	}
	if loaded := b.held(); loaded != held {
		err = fmt.Errorf("of %d peers %d were loaded", held, loaded)
	}
	return out, errors.Join(err, b.close())
}

// use measures the operations of an open book.
func use(k kind, b book, n int) (out map[string]sample, err error) {
	out = map[string]sample{}
	before := heap()
	if err := learn(b, n); err != nil {
		return nil, err
	}
	held := b.held()
	memory := func() sample {
		return sample{calls: 1, value: float64(int64(heap())-int64(before)) / float64(held)}
	}
	out[opHeld] = sample{calls: 1, value: float64(held)}
	out[opMemory] = memory()
	if !k.lacks[opWritten] {
		s, err := once(b.written)
		if err != nil {
			return nil, err
		}
		out[opWritten] = sample{calls: n, value: float64(n) / s.value * 1e3}
	}
	if k.disk {
		waitIdle(min(100*time.Millisecond, max(10*time.Millisecond, time.Duration(n)*time.Microsecond)))
		out[opStored] = memory() // with what the database holds by now
	}

	grow := grown(n)
	b.prepare(n, n+3*grow)
	o, isOurs := b.(*ours)
	var after func(*stopwatch) error
	if isOurs {
		after = o.after
		o.run() // from here on it writes in the background
	}
	measure := func(name string, most int, limit time.Duration, call func() bool, after func(*stopwatch) error) {
		if err != nil || k.lacks[name] || !(operation{name: name}).wanted() {
			return
		}
		out[name], err = series(most, limit, func() error {
			if !call() {
				return fmt.Errorf("%q gave nothing", name)
			}
			return nil
		}, after)
	}
	const often = 1 << 30
	measure(opPick, often, briefly(n), b.pick, nil)
	measure(opAdvertise, often, briefly(n), func() bool { return b.advertise() > 0 }, nil)
	if isOurs {
		measure(opTell, often, briefly(n), func() bool { return o.tell() > 0 }, nil)
	}
	next := n
	add := func() bool { b.add(next); next++; return true }
	measure(opAdd, grow, *duration, add, after)
	if next > n {
		out[opNew] = sample{calls: 1, value: 100 * float64(b.held()-held) / float64(next-n)}
	}
	measure(opCycle, grow, *duration, func() bool { add(); return b.fail() }, after)
	if isOurs {
		measure(opManage, grow, *duration, func() bool { o.learn(next); next++; return o.dialFails() }, after)
	}
	return out, err
}

// learn adds the first n peers.
func learn(b book, n int) error {
	b.prepare(0, n)
	defer b.learned()
	began, used := time.Now(), processorTime()
	for i := range n {
		if b.add(i); i%1000 == 0 && (processorTime()-used > *budget || time.Since(began) > 5**budget) {
			return errBudget
		}
	}
	return nil
}
