package peerstore

import "unsafe"

// cells find small numbers by hashes of what these stand for: open addressing with linear probing. A cell is 0, or 32 bits of the hash (the tag) and the number plus
// one, so most of what is looked for is found or missed without a look at what the numbers stand for. The hash must have a secret, where remotes choose what is hashed.
type cells struct {
	all []uint64 // a power of two
	n   int
}

const (
	fewestCells = 8
	fullCells   = 3 // quarters of the cells that may be taken
)

// find calls same with numbers that may be the one, until it says yes.
func (c *cells) find(tag uint32, same func(i uint32) bool) (i uint32, ok bool) {
	if c.n == 0 {
		return 0, false
	}
	mask := uint32(len(c.all) - 1)
	for at := tag & mask; ; at = (at + 1) & mask {
		cell := c.all[at]
		if cell == 0 {
			return 0, false
		}
		if uint32(cell>>32) == tag && same(uint32(cell)-1) {
			return uint32(cell) - 1, true
		}
	}
}

// prefetch begins to load what find reads first.
func (c *cells) prefetch(tag uint32) {
	if n := uint32(len(c.all)); n > 0 {
		prefetch(unsafe.Pointer(&c.all[tag&(n-1)]))
	}
}

// put adds a number that is not there.
func (c *cells) put(tag, i uint32) {
	if n := c.wanted(); n > len(c.all) {
		c.move(array[uint64](n))
	}
	c.n++
	c.place(uint64(tag)<<32 | uint64(i+1))
}

func (c *cells) place(cell uint64) {
	mask := uint32(len(c.all) - 1)
	at := uint32(cell>>32) & mask
	for c.all[at] != 0 {
		at = (at + 1) & mask
	}
	c.all[at] = cell
}

// wanted is how many cells there should be to put one more number.
func (c *cells) wanted() int {
	if 4*(c.n+1) > fullCells*len(c.all) {
		return max(2*len(c.all), fewestCells)
	}
	return len(c.all)
}

// move takes other cells into use, which are empty.
func (c *cells) move(all []uint64) {
	old := c.all
	c.all = all
	for _, cell := range old {
		if cell != 0 {
			c.place(cell)
		}
	}
}

// change puts another number in the place of one that is there.
func (c *cells) change(tag, i, to uint32) {
	mask := uint32(len(c.all) - 1)
	want := uint64(tag)<<32 | uint64(i+1)
	at := tag & mask
	for c.all[at] != want {
		at = (at + 1) & mask
	}
	c.all[at] = uint64(tag)<<32 | uint64(to+1)
}

// drop removes a number that is there.
func (c *cells) drop(tag, i uint32) {
	mask := uint32(len(c.all) - 1)
	want := uint64(tag)<<32 | uint64(i+1)
	gap := tag & mask
	for c.all[gap] != want {
		gap = (gap + 1) & mask
	}
	// Those that follow move up where the gap would hide them.
	for at := (gap + 1) & mask; c.all[at] != 0; at = (at + 1) & mask {
		home := uint32(c.all[at]>>32) & mask
		if (at-home)&mask >= (at-gap)&mask {
			c.all[gap] = c.all[at]
			gap = at
		}
	}
	c.all[gap] = 0
	c.n--
}
