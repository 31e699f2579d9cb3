package peerstore

// waiting orders peers that may be dialed later by when: a heap of four children a node. A peer that becomes due at another time is pushed again, and
// its old item is left to be dropped when it is met (stale says so). Once more items are left than peers wait, each push looks at a few, so that they do not become
// many more.
type waiting struct {
	items []dueItem
	peers int // that wait: see Book.setWaits
	hand  int
}

// fewestItems are left without a look.
const fewestItems = 64

type dueItem struct {
	due  int64
	slot uint32
}

func (w *waiting) push(i dueItem, stale func(dueItem) bool) {
	w.items = push(w.items, i)
	w.up(len(w.items) - 1)
	if len(w.items) <= w.peers+w.peers/2+fewestItems {
		return
	}
	for range 4 {
		if w.hand++; w.hand >= len(w.items) {
			w.hand = 0
		}
		if stale(w.items[w.hand]) {
			w.drop(w.hand)
			if len(w.items) == 0 {
				return
			}
		}
	}
}

func (w *waiting) min() (dueItem, bool) {
	if len(w.items) == 0 {
		return dueItem{}, false
	}
	return w.items[0], true
}

// drop takes an item out. Of the first it also says where on its way to a child and to a child's child another item has moved up; 0 for none.
func (w *waiting) drop(i int) (second, third int) {
	last := len(w.items) - 1
	w.items[i] = w.items[last]
	w.items = w.items[:last]
	if i < last {
		second, third = w.down(i)
		w.up(i)
	}
	return second, third
}

func (w *waiting) up(i int) {
	item := w.items[i]
	for i > 0 {
		parent := (i - 1) / 4
		if w.items[parent].due <= item.due {
			break
		}
		w.items[i] = w.items[parent]
		i = parent
	}
	w.items[i] = item
}

func (w *waiting) down(i int) (second, third int) {
	item := w.items[i]
	for {
		first := 4*i + 1
		if first >= len(w.items) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(w.items)); c++ {
			if w.items[c].due < w.items[least].due {
				least = c
			}
		}
		if w.items[least].due >= item.due {
			break
		}
		w.items[i] = w.items[least]
		if i = least; second == 0 {
			second = i
		} else if third == 0 {
			third = i
		}
	}
	w.items[i] = item
	return second, third
}
