package peerstore

// slots lists slots in the order in which they are added. Those of a run, each one more than the last, take the room of two: so are those of a book that is being filled.
type slots struct {
	list []uint32 // a slot; or, marked, how many follow the one before it
	last uint32   // the last slot that was added
	n    int
}

// following marks an element of the list; there are fewer slots.
const following = 1 << 31

func (s *slots) add(slot uint32) {
	switch n := len(s.list); {
	case n == 0 || slot != s.last+1:
		s.list = append(s.list, slot)
	case s.list[n-1]&following != 0:
		s.list[n-1]++
	default:
		s.list = append(s.list, following|1)
	}
	s.last = slot
	s.n++
}

// take moves up to limit slots to the end of to.
func (s *slots) take(limit int, to []uint32) []uint32 {
	for ; limit > 0 && s.n > 0; limit, s.n = limit-1, s.n-1 {
		first := s.list[0]
		to = append(to, first)
		switch {
		case len(s.list) == 1 || s.list[1]&following == 0:
			s.list = s.list[1:]
		case s.list[1] == following|1: // the last of the run
			s.list = s.list[1:]
			s.list[0] = first + 1
		default:
			s.list[0] = first + 1
			s.list[1]--
		}
	}
	if s.n == 0 {
		*s = slots{}
	}
	return to
}
