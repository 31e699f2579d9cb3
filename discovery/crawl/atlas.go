package crawl

import (
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// atlas is what the visits so far add up to. Replaying the same visits in the same order makes the same atlas. It has
// one owner, and does no I/O.
type atlas struct {
	network string
	nodes   []*node
	byID    map[transport.NodeID]int32
	open    map[transport.Address]int32 // seeds that name no node, until one is found there

	visits, dials, tells int
	began, ended         time.Time
	dropped              Dropped
	states               map[State]int
}

// Dropped counts what a bound left out.
type Dropped struct {
	Nodes     int `json:"nodes"`     // beyond the nodes of a map
	Addresses int `json:"addresses"` // beyond the addresses of a node
	Edges     int `json:"edges"`     // beyond the edges of a map
	Refused   int `json:"refused"`   // addresses of answers that were wrong, private, excluded, or too many
}

// State is what the visits say about a node.
type State string

// The states of a node.
const (
	Reachable   State = "reachable"
	FullUp      State = "full"          // alive, without room for us
	Refusing    State = "refused"       // alive, and refuses us
	Elsewhere   State = "other-network" // alive, in another network
	WrongKey    State = "wrong-id"      // another node is at its address
	Unreachable State = "unreachable"   // no visit has found it
	Untried     State = "untried"       // heard of, and not visited
	nobody      State = ""              // a seed's address at which a node was found: no node of its own
)

// Alive reports whether a node of that state has proven its key.
func (s State) Alive() bool { return s == Reachable || s == FullUp || s == Refusing || s == Elsewhere }

var stateOf = map[Outcome]State{Reached: Reachable, Full: FullUp, Refused: Refusing, OtherNetwork: Elsewhere,
	WrongID: WrongKey, Invalid: Unreachable, Failed: Unreachable}

// node is one node of the map.
type node struct {
	id      transport.NodeID // "" for an open seed
	state   State
	seed    bool
	spots   []spot
	tells   []tell    // whom it told of, each node once
	tellers int       // how many nodes reported it
	quota   int       // how many new addresses we took from it
	visits  int       // that reached it
	turned  int       // how often in a row it had no room, or refused us
	fails   int       // how many visits in a row did not find it
	first   time.Time // heard of
	seen    time.Time // last proven
	wires   []string  // proven, as wire/transport
	last    *Visit    // the last one that proved it, or the last one; without Heard

	// The loop's.
	due     time.Time
	waiting bool // in the queue
	flying  bool // being visited
	again   bool // to be visited once more, whatever is known
}

// spot is an address of a node.
type spot struct {
	address transport.Address
	via     int32 // the node that told it first; -1 for seeds, and for nodes that were found in another's place
	tellers int
	held    bool // told, and not to be visited before its teller is trusted
	tries   int  // visits in a row that did not prove the node
	outcome Outcome
	stage   string
	code    string
	error   string
	at      time.Time // of the last visit
	ms      float64
}

// tell is an edge: a node reported another.
type tell struct {
	to     int32
	at     time.Time // of the last answer that had it
	passes uint8     // a bit for each of the first eight visits whose answer had it
}

func newAtlas() *atlas {
	return &atlas{byID: make(map[transport.NodeID]int32), open: make(map[transport.Address]int32),
		states: make(map[State]int)}
}

func (a *atlas) setState(n *node, s State) {
	if n.state != nobody {
		a.states[n.state]--
	}
	if n.state = s; s != nobody {
		a.states[s]++
	}
}

// add makes a node; -1 if there is no room.
func (a *atlas) add(id transport.NodeID, at time.Time) int32 {
	if len(a.nodes) >= maxNodes {
		a.dropped.Nodes++
		return -1
	}
	i := int32(len(a.nodes))
	n := &node{id: id, first: at}
	a.nodes = append(a.nodes, n)
	a.setState(n, Untried)
	if id != "" {
		a.byID[id] = i
	}
	return i
}

// seed adds a seed's address, and returns its node.
func (a *atlas) seed(addr transport.Address, now time.Time) int32 {
	i, ok := a.byID[addr.ID()]
	if addr.ID() == "" {
		i, ok = a.open[addr]
	}
	if !ok {
		if i = a.add(addr.ID(), now); i < 0 {
			return -1
		}
		if addr.ID() == "" {
			a.open[addr] = i
		}
	}
	n := a.nodes[i]
	n.seed = true
	if s := n.spot(addr); s != nil {
		s.held = false
	} else if len(n.spots) < maxSpots {
		n.spots = append(n.spots, spot{address: addr, via: -1})
	}
	return i
}

func (n *node) spot(addr transport.Address) *spot {
	for i := range n.spots {
		if n.spots[i].address == addr {
			return &n.spots[i]
		}
	}
	return nil
}

// apply adds a visit, and returns the nodes for which there may be something new to do.
func (a *atlas) apply(v *Visit) (touched []int32) {
	a.visits++
	a.dials += max(v.Dials, 1)
	if a.began.IsZero() || v.Time.Before(a.began) {
		a.began = v.Time
	}
	if end := v.Time.Add(time.Duration(v.MS * float64(time.Millisecond))); end.After(a.ended) {
		a.ended = end
	}
	if v.Network != "" {
		a.network = v.Network
	}
	if v.PEX != nil {
		a.dropped.Refused += v.PEX.Refused
	}
	i := a.target(v)
	if i < 0 {
		return nil
	}
	touched = append(touched, i)
	n := a.nodes[i]
	s := n.spot(v.Address)
	if s == nil {
		if len(n.spots) >= maxSpots {
			n.spots = slices.Delete(n.spots, 0, 1)
		}
		n.spots = append(n.spots, spot{address: v.Address, via: -1})
		s = &n.spots[len(n.spots)-1]
	}
	s.outcome, s.stage, s.code, s.error, s.at, s.ms = v.Outcome, v.Stage, v.Code, v.Error, v.Time, v.MS
	s.held = false
	keep := *v
	keep.Heard = nil
	if !v.Outcome.proves() {
		a.missed(n, s, &keep)
		if v.Proven != "" && v.Proven != n.id {
			touched = append(touched, a.found(v)...)
		}
		return touched
	}
	s.tries = 0
	n.fails, n.again = 0, false
	n.seen, n.last = v.Time, &keep
	a.setState(n, stateOf[v.Outcome])
	if way := v.Wire + "/" + v.Transport; v.Wire != "" && !slices.Contains(n.wires, way) && len(n.wires) < 8 {
		n.wires = append(n.wires, way)
	}
	if v.Outcome == Full || v.Outcome == Refused {
		n.turned++
	} else {
		n.turned = 0
	}
	if v.Outcome == Reached {
		n.visits++
	}
	return append(touched, a.hear(i, v)...)
}

// missed notes a visit that did not find the node.
func (a *atlas) missed(n *node, s *spot, v *Visit) {
	s.tries++
	if v.Outcome == WrongID {
		s.tries = maxTries // another key will not turn into the right one
	}
	n.fails++
	if !n.state.Alive() || n.fails >= maxTries {
		a.setState(n, stateOf[v.Outcome])
	}
	if n.last == nil || !n.last.Outcome.proves() {
		n.last = v
	}
}

// target returns the node that a visit is about.
func (a *atlas) target(v *Visit) int32 {
	if v.ID != "" {
		if i, ok := a.byID[v.ID]; ok {
			a.nodes[i].seed = a.nodes[i].seed || v.Seed
			return i
		}
		i := a.add(v.ID, v.Time)
		if i >= 0 {
			a.nodes[i].seed = v.Seed
		}
		return i
	}
	i := a.seed(v.Address, v.Time)
	if i < 0 || v.Proven == "" || !v.Outcome.proves() {
		return i
	}
	// The node that was found is the seed; what is at the address without a name is no node of its own.
	a.setState(a.nodes[i], nobody)
	j, ok := a.byID[v.Proven]
	if !ok {
		if j = a.add(v.Proven, v.Time); j < 0 {
			return -1
		}
	}
	a.nodes[j].seed = true
	return j
}

// found adds the node that was in another's place.
func (a *atlas) found(v *Visit) []int32 {
	node := string(v.Proven)
	if v.Address.Wire() == transport.WireLibp2p {
		if node = v.PeerID; node == "" {
			return nil
		}
	}
	addr, err := v.Address.WithNode(node)
	if err != nil {
		return nil
	}
	i, ok := a.byID[addr.ID()]
	if !ok {
		if i = a.add(addr.ID(), v.Time); i < 0 {
			return nil
		}
	}
	n := a.nodes[i]
	if n.spot(addr) == nil && len(n.spots) < maxSpots {
		n.spots = append(n.spots, spot{address: addr, via: -1})
	}
	return []int32{i}
}

// hear adds what node i told.
func (a *atlas) hear(i int32, v *Visit) (touched []int32) {
	if len(v.Heard) == 0 {
		return nil
	}
	teller := a.nodes[i]
	known := make(map[int32]int, len(teller.tells))
	for k, t := range teller.tells {
		known[t.to] = k
	}
	pass := uint8(1) << min(max(teller.visits-1, 0), 7)
	for _, addr := range v.Heard[:min(len(v.Heard), maxTaken)] {
		if addr.ID() == "" {
			continue
		}
		to, ok := a.byID[addr.ID()]
		if !ok {
			if to = a.add(addr.ID(), v.Time); to < 0 {
				continue
			}
		}
		if to == i {
			continue // it told us its own address
		}
		n := a.nodes[to]
		if a.offer(i, n, addr) {
			touched = append(touched, to)
		}
		k, ok := known[to]
		if !ok {
			if a.tells >= maxTells {
				a.dropped.Edges++
				continue
			}
			a.tells++
			n.tellers++
			k = len(teller.tells)
			known[to] = k
			teller.tells = append(teller.tells, tell{to: to})
		}
		teller.tells[k].at = v.Time
		teller.tells[k].passes |= pass
	}
	return touched
}

// offer adds an address of n that node via told, and reports whether it may be visited now and could not before.
func (a *atlas) offer(via int32, n *node, addr transport.Address) bool {
	teller := a.nodes[via]
	s := n.spot(addr)
	if s == nil {
		if len(n.spots) >= maxSpots {
			// One that leads nowhere, and that few tell, makes room.
			k := slices.IndexFunc(n.spots, func(s spot) bool { return s.tries >= maxTries && s.tellers <= 1 })
			if k < 0 {
				a.dropped.Addresses++
				return false
			}
			n.spots = slices.Delete(n.spots, k, k+1)
		}
		n.spots = append(n.spots, spot{address: addr, via: via, held: true})
		s = &n.spots[len(n.spots)-1]
	}
	s.tellers++
	if !s.held || teller.quota >= newPerSource {
		return false
	}
	teller.quota++
	s.held = false
	return true
}

// release lets the addresses that are held back be visited, up to newPerSource of each node that told of nodes that
// exist. It returns their nodes.
func (a *atlas) release() (touched []int32) {
	spent := make(map[int32]int)
	trust := make(map[int32]bool)
	for i, n := range a.nodes {
		for k := range n.spots {
			s := &n.spots[k]
			if !s.held {
				continue
			}
			ok, judged := trust[s.via]
			if !judged {
				ok = s.via < 0 || !a.suspect(a.nodes[s.via])
				trust[s.via] = ok
			}
			if !ok || spent[s.via] >= newPerSource {
				continue
			}
			spent[s.via]++
			s.held = false
			touched = append(touched, int32(i))
		}
	}
	return touched
}

// suspect reports whether nearly nothing of what a node told exists.
func (a *atlas) suspect(n *node) bool {
	tried, alive := 0, 0
	for _, t := range n.tells {
		switch s := a.nodes[t.to].state; {
		case s.Alive():
			tried++
			alive++
		case s != Untried:
			tried++
		}
	}
	return tried >= suspectTried && alive*suspectShare <= tried
}

// held counts the nodes that were told of and are held back.
func (a *atlas) held() (count int) {
	for _, n := range a.nodes {
		if n.state == Untried && !slices.ContainsFunc(n.spots, func(s spot) bool { return !s.held }) {
			count++
		}
	}
	return count
}

// choose returns which address of a node to visit next, and when: nil if the node needs no visit in that pass.
func (n *node) choose(pass int) (*spot, time.Time) {
	switch {
	case n.state == nobody, n.flying:
		return nil, time.Time{}
	case n.again:
	case n.state == Elsewhere, n.visits >= pass, n.turned >= maxTries:
		return nil, time.Time{}
	}
	var best *spot
	for i := range n.spots {
		s := &n.spots[i]
		if s.held || s.tries >= maxTries || n.turned > 0 && !s.outcome.proves() {
			continue
		}
		if best == nil || s.tries < best.tries || s.tries == best.tries && s.better(best) {
			best = s
		}
	}
	if best == nil {
		return nil, time.Time{}
	}
	failed := max(best.tries, n.turned)
	if failed == 0 {
		return best, time.Time{}
	}
	return best, best.at.Add(firstPause << (failed - 1))
}

// better reports whether to visit s before other, both tried as often.
func (s *spot) better(other *spot) bool {
	switch proven, others := s.outcome.proves(), other.outcome.proves(); {
	case proven != others:
		return proven
	case (s.via < 0) != (other.via < 0):
		return s.via < 0
	}
	return s.tellers > other.tellers
}
