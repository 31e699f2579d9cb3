package cli

import (
	"slices"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/host/relay"
	"github.com/switchyard-p2p/switchyard/modules/cli/live"
)

const (
	demoItemsKept   = 512 // items whose way is followed
	demoTimesKept   = 256 // deliveries that the median is of
	demoItemPatient = 3 * time.Second
)

// demoItems follows items on their way: which nodes are to get them, and how long it takes.
type demoItems struct {
	mu       sync.Mutex // guards all
	items    map[relay.ID]*demoItem
	order    []relay.ID // oldest first
	sent     int
	expected int
	came     int
	times    []time.Duration // of the last deliveries
	at       int             // where the next of times goes
}

// demoItem is an item on its way.
type demoItem struct {
	id     relay.ID
	from   int
	sent   time.Time
	want   map[int]bool // nodes that lack it
	nodes  int          // that were to get it, the publisher included
	took   time.Duration
	tell   bool // there will be a line about it
	inTime bool // all got it
}

// publish notes that a node publishes an item, which the nodes of want are to get.
func (d *demoItems) publish(id relay.ID, from int, want []int, now time.Time, tell bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.items == nil {
		d.items = map[relay.ID]*demoItem{}
	}
	i := &demoItem{id: id, from: from, sent: now, want: map[int]bool{}, nodes: len(want) + 1, tell: tell}
	for _, n := range want {
		i.want[n] = true
	}
	d.items[id] = i
	if d.order = append(d.order, id); len(d.order) > demoItemsKept {
		delete(d.items, d.order[0])
		d.order = d.order[1:]
	}
	d.sent++
	d.expected += len(want)
}

// forget takes back an item that was not published.
func (d *demoItems) forget(id relay.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := d.items[id]; i != nil {
		d.sent--
		d.expected -= i.nodes - 1
		d.came -= i.nodes - 1 - len(i.want)
		delete(d.items, id)
		d.order = slices.DeleteFunc(d.order, func(o relay.ID) bool { return o == id })
	}
}

// arrived notes that a node got an item.
func (d *demoItems) arrived(node int, id relay.ID, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.items[id]
	if i == nil || !i.want[node] {
		return
	}
	delete(i.want, node)
	d.came++
	i.took = now.Sub(i.sent)
	if len(d.times) < demoTimesKept {
		d.times = append(d.times, i.took)
	} else {
		d.times[d.at%demoTimesKept] = i.took
	}
	d.at++
}

// leave takes back what is expected of a node that stops.
func (d *demoItems) leave(node int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.items {
		if i.want[node] {
			delete(i.want, node)
			i.nodes--
			d.expected--
		}
	}
}

// ripe returns the items of which a line is due, as they are now: all have them, or that takes too long.
func (d *demoItems) ripe(now time.Time) (out []demoItem) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range d.order {
		i := d.items[id]
		if i.inTime = len(i.want) == 0; i.tell && (i.inTime || now.Sub(i.sent) > demoItemPatient) {
			i.tell = false
			out = append(out, demoItem{id: id, from: i.from, nodes: i.nodes, took: i.took, inTime: i.inTime,
				want: map[int]bool{}})
			for n := range i.want {
				out[len(out)-1].want[n] = true
			}
		}
	}
	return out
}

// totals returns the counts.
func (d *demoItems) totals() live.DemoItems {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := live.DemoItems{Sent: d.sent, Expected: d.expected, Arrived: d.came}
	if len(d.times) > 0 {
		sorted := slices.Sorted(slices.Values(d.times))
		t.P50 = sorted[len(sorted)/2]
	}
	return t
}
