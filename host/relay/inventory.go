package relay

// inventory is a set of at most limit keys with flags; a further key takes the place of the one that was marked longest
// ago. Keys are keyed hashes of ids, so that nobody can choose ids whose keys are alike.
type inventory struct {
	limit  int
	index  map[uint64]int32
	slots  []slot
	newest int32
	oldest int32
}

// slot is a place of an inventory's list, which is in the order of marking.
type slot struct {
	key          uint64
	newer, older int32
	flags        flags
}

// flags say what is known of an id.
type flags uint8

const (
	heard flags = 1 << iota // the peer has announced or sent it
	told                    // we have announced or sent it to the peer
	given                   // the peer has got it from us
	known                   // of the relay's own sets: the id is in the set
)

const none = -1

func newInventory(limit int) *inventory {
	return &inventory{limit: limit, index: map[uint64]int32{}, newest: none, oldest: none}
}

// get returns the flags of a key, 0 if it is not in the set.
func (v *inventory) get(key uint64) flags {
	if i, ok := v.index[key]; ok {
		return v.slots[i].flags
	}
	return 0
}

// mark adds flags to a key, which is now the newest.
func (v *inventory) mark(key uint64, f flags) {
	i, ok := v.index[key]
	switch {
	case ok:
		v.slots[i].flags |= f
		if i == v.newest {
			return
		}
		v.unlink(i)
	case len(v.slots) < v.limit:
		i = int32(len(v.slots))
		v.slots = append(v.slots, slot{key: key, flags: f})
		v.index[key] = i
	default:
		i = v.oldest
		v.unlink(i)
		delete(v.index, v.slots[i].key)
		v.slots[i] = slot{key: key, flags: f}
		v.index[key] = i
	}
	v.slots[i].newer, v.slots[i].older = none, v.newest
	if v.newest != none {
		v.slots[v.newest].newer = i
	} else {
		v.oldest = i
	}
	v.newest = i
}

// unlink takes a slot out of the list.
func (v *inventory) unlink(i int32) {
	s := &v.slots[i]
	if s.newer != none {
		v.slots[s.newer].older = s.older
	} else {
		v.newest = s.older
	}
	if s.older != none {
		v.slots[s.older].newer = s.newer
	} else {
		v.oldest = s.newer
	}
}

func (v *inventory) len() int { return len(v.index) }
