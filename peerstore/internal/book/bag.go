package book

// A bag holds entries in no order. Adding and removing take O(1), as each entry knows its place.
type bag []*entry

// place says which of an entry's places a bag uses.
type place int

const (
	byRank place = iota
	byGroup
	byShare
)

func (b *bag) add(p place, e *entry) {
	e.places[p] = uint32(len(*b))
	*b = append(*b, e)
}

// remove moves the last entry to the place of e.
func (b *bag) remove(p place, e *entry) {
	all := *b
	end := len(all) - 1
	i := e.places[p]
	all[i] = all[end]
	all[i].places[p] = i
	all[end] = nil
	*b = all[:end]
}

// swap exchanges two entries by their indexes.
func (b bag) swap(p place, i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].places[p], b[j].places[p] = uint32(i), uint32(j)
}
