package eclipse

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// world is everything around the victim: the clock, the planned events, and the other nodes. One goroutine owns it.
type world struct {
	attack Attack
	random *rand.Rand
	began  time.Time
	events events
	order  uint64

	honest   *honest
	attacker *attacker
	victim   *victim
	eclipsed int // samples at which he held all outbound links
}

func newWorld(a Attack) *world {
	w := &world{attack: a, random: rand.New(rand.NewPCG(a.Seed, 1)), began: time.Now()}
	w.honest = newHonest(w.random)
	w.attacker = &attacker{addresses: a.Addresses, groups: a.Groups, random: w.random}
	w.victim = newVictim(w)
	for range honestInbound {
		w.after(w.soon(time.Hour), w.honestCaller)
	}
	return w
}

// event is something that happens at some time.
type event struct {
	at    time.Duration // since the beginning
	order uint64        // events at the same time happen in the order in which they were planned
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}

// at plans an event.
func (w *world) at(at time.Duration, do func()) {
	w.order++
	heap.Push(&w.events, event{at, w.order, do})
}

func (w *world) after(d time.Duration, do func()) { w.at(time.Since(w.began)+d, do) }

// soon returns a random time up to d.
func (w *world) soon(d time.Duration) time.Duration { return time.Duration(w.random.Int64N(int64(d))) }

// lasting returns an exponentially distributed time of the given mean.
func (w *world) lasting(d time.Duration) time.Duration {
	return time.Duration(w.random.ExpFloat64() * float64(d))
}

// run runs the events until the end. The clock advances while this goroutine sleeps. The victim looks for dials after
// each event, and every few seconds.
func (w *world) run(end time.Duration) {
	const look = 5 * time.Second
	for {
		next := time.Since(w.began) + look
		due := len(w.events) > 0 && w.events[0].at <= next
		if due {
			next = w.events[0].at
		}
		if next > end {
			return
		}
		time.Sleep(next - time.Since(w.began))
		if due {
			heap.Pop(&w.events).(event).do()
		}
		w.victim.look()
	}
}

// beginAttack lets the attacker's callers take inbound slots of the victim.
func (w *world) beginAttack() {
	w.attacker.here = true
	for range attackInbound {
		w.after(w.soon(10*time.Minute), w.attackCaller)
	}
}

// restart is forced by the attacker: the victim loses all links and comes back with its store. The attacker's callers
// are back first.
func (w *world) restart() {
	w.victim.restart()
	for range honestInbound {
		w.after(time.Minute+w.soon(20*time.Minute), w.honestCaller)
	}
	if w.attacker.here {
		for range attackInbound {
			w.after(w.soon(time.Second), w.attackCaller)
		}
	}
}
