package muxer

// fairUnit is the virtual time that one byte of a lane with weight 1 takes. It is larger than the largest weight, so
// that a byte always counts.
const fairUnit = 1 << 16

// staleLead is the largest lead over the present that a lane can really have (2^40 / fairUnit = 16 MiB at weight 1 in
// one Spent). A larger one is left over from before the clock wrapped around.
const staleLead = 1 << 40

// Fair decides which lane of a connection sends next. Each lane that has something to send gets bytes in proportion to
// its weight (start-time fair queueing: the lane that is furthest behind in virtual time goes first). A lane that was
// idle starts at the present: it saves up no credit, so it can never lock the others out, and no waiting lane starves.
//
// Lanes are numbered from 0. A Fair costs O(log lanes) a decision and allocates only in NewFair. It is not safe for
// concurrent use: its owner has a mutex.
type Fair struct {
	now    uint64 // virtual time; wraps around
	weight []uint32
	due    []uint64 // virtual time at which the lane's next byte is due
	place  []int16  // index in queue, -1 when the lane is idle
	queue  []int16  // a binary heap of the waiting lanes, the earliest due first
}

// NewFair makes a scheduler of len(weights) lanes, at most 32,767, that are all idle. A weight below 1 counts as 1.
func NewFair(weights []int) *Fair {
	f := &Fair{
		weight: make([]uint32, len(weights)),
		due:    make([]uint64, len(weights)),
		place:  make([]int16, len(weights)),
		queue:  make([]int16, 0, len(weights)),
	}
	for i, w := range weights {
		f.weight[i] = uint32(min(max(w, 1), fairUnit))
		f.place[i] = -1
	}
	return f
}

// Idle reports whether no lane has anything to send.
func (f *Fair) Idle() bool { return len(f.queue) == 0 }

// Add queues a lane that has something to send. It does nothing when the lane waits already.
func (f *Fair) Add(lane int) {
	if f.place[lane] >= 0 {
		return
	}
	// What the lane has sent ahead of its share just before it went idle still counts against it.
	if lead := int64(f.due[lane] - f.now); lead < 0 || lead > staleLead {
		f.due[lane] = f.now
	}
	f.queue = append(f.queue, int16(lane))
	last := len(f.queue) - 1
	f.place[lane] = int16(last)
	if last > 0 {
		f.up(last)
	}
}

// Next returns the lane that sends next, -1 if none has anything to send, and whether no other has. The lane stays at
// its place until Spent or Remove.
func (f *Fair) Next() (lane int, alone bool) {
	if len(f.queue) == 0 {
		return -1, true
	}
	lane = int(f.queue[0])
	f.now = f.due[lane]
	return lane, len(f.queue) == 1
}

// Spent charges the lane for bytes that it sends now. The lane must be waiting.
func (f *Fair) Spent(lane, bytes int) {
	f.due[lane] += uint64(max(bytes, 1)) * fairUnit / uint64(f.weight[lane])
	if len(f.queue) == 1 {
		f.now = f.due[lane] // what a lane sends while no other waits is no debt
		return
	}
	f.down(int(f.place[lane]))
}

// Remove takes a lane that has nothing more to send out of the queue.
func (f *Fair) Remove(lane int) {
	at := int(f.place[lane])
	if at < 0 {
		return
	}
	last := len(f.queue) - 1
	if at < last {
		f.swap(at, last)
	}
	f.queue = f.queue[:last]
	f.place[lane] = -1
	if at < last {
		f.down(at)
		f.up(at)
	}
	if last == 0 {
		f.now = f.due[lane]
	}
}

// before compares in wrap-around arithmetic. Equal lanes go in the order of their numbers.
func (f *Fair) before(a, b int16) bool {
	d := int64(f.due[a] - f.due[b])
	return d < 0 || d == 0 && a < b
}

func (f *Fair) swap(i, j int) {
	q := f.queue
	q[i], q[j] = q[j], q[i]
	f.place[q[i]], f.place[q[j]] = int16(i), int16(j)
}

func (f *Fair) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !f.before(f.queue[i], f.queue[parent]) {
			return
		}
		f.swap(i, parent)
		i = parent
	}
}

func (f *Fair) down(i int) {
	for {
		first := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(f.queue); c++ {
			if f.before(f.queue[c], f.queue[first]) {
				first = c
			}
		}
		if first == i {
			return
		}
		f.swap(i, first)
		i = first
	}
}
