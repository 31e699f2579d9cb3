package eclipse

import (
	"math/rand/v2"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Assumptions about honest nodes. They are worse peers than the attacker's: often offline, full, and gone again.
const (
	honestNodes   = 5000
	honestGroups  = 400           // the largest of them hold most nodes, as hosting companies do
	online        = 0.7           // the part of the honest addresses that is online
	hasRoom       = 0.75          // of the nodes that are online, when they are dialed
	honestLink    = 8 * time.Hour // a link to an honest node lasts on average
	honestInbound = 10            // honest nodes that dial the victim
	// the attacker's part of what honest nodes report, as their books hold his nodes too
	poisoned       = 0.1
	told           = 100 // addresses in an answer of an honest node
	bootstrap      = 10  // honest addresses that the victim begins with
	dialTime       = 100 * time.Millisecond
	dialTimeout    = 5 * time.Second
	epoch          = 12 * time.Hour // for so long an honest node is online or not
	port           = 26656          // the network's default
	usefulInterval = 10 * time.Minute
	usefulPoints   = 3 // of them, more than fade meanwhile
)

// node is a node other than the victim.
type node struct {
	addr transport.Address
	his  bool // one of the attacker's
}

// honest are the honest nodes.
type honest struct {
	random *rand.Rand
	nodes  []transport.Address
	index  map[transport.NodeID]int
	salt   uint64
}

func newHonest(random *rand.Rand) *honest {
	h := &honest{random: random, index: make(map[transport.NodeID]int, honestNodes), salt: random.Uint64()}
	for i := range honestNodes {
		u := random.Float64()
		group := int(u * u * honestGroups)
		a := address('a', i, 1000+group, random.IntN(1<<16), port)
		h.index[a.ID()] = i
		h.nodes = append(h.nodes, a)
	}
	return h
}

// any returns a random honest node.
func (h *honest) any() transport.Address { return h.nodes[h.random.IntN(len(h.nodes))] }

// isOnline reports whether a node is online in the epoch of a time.
func (h *honest) isOnline(id transport.NodeID, since time.Duration) bool {
	i := uint64(h.index[id])
	r := rand.New(rand.NewPCG(h.salt+uint64(since/epoch), i))
	return r.Float64() < online
}

// honestCaller lets an honest node dial the victim, stay for a while, and make room for the next one.
func (w *world) honestCaller() {
	a := w.honest.any()
	w.victim.accept(node{addr: a}, w.lasting(honestLink), w.honestCaller)
}
