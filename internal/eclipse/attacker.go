package eclipse

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	attackInbound = 8             // of the victim's inbound slots that he takes
	attackVisit   = 6 * time.Hour // after which a caller returns under another id, with a new quota
	attackAnswer  = 250           // addresses in his answers: as many as the victim reads
)

// attacker has many addresses in some network groups. When a group has no more IPs (65,536 in a /16), several nodes
// share one, at different ports.
type attacker struct {
	addresses, groups int
	random            *rand.Rand
	here              bool
}

// any returns one of the attacker's nodes.
func (a *attacker) any() transport.Address {
	i := a.random.IntN(a.addresses)
	inGroup := i / a.groups
	return address('b', i, i%a.groups, inGroup*40503%(1<<16), port+inGroup>>16)
}

// isHis reports whether a node id belongs to the attacker.
func isHis(id transport.NodeID) bool { return id[0] == 'b' }

// address returns the address of a node: group chooses the /16, low the rest of the IP.
func address(kind byte, i, group, low, port int) transport.Address {
	var raw [20]byte
	binary.BigEndian.PutUint64(raw[:], uint64(i)*0x9e3779b97f4a7c15) // a bijection
	id := []byte(hex.EncodeToString(raw[:]))
	id[39] = kind
	id[0], id[39] = id[39], id[0]
	g := group * 7919 % 20000 // spread over 20..97.x
	ip := netip.AddrFrom4([4]byte{byte(20 + g/256), byte(g), byte(low >> 8), byte(low)})
	a, err := transport.CometAddress(transport.NodeID(id), ip.String(), uint16(port))
	if err != nil {
		panic(err) // a mistake here
	}
	return a
}

// attackCaller lets one of the attacker's nodes dial the victim, report its own address, and return under another id.
func (w *world) attackCaller() {
	w.victim.accept(node{addr: w.attacker.any(), his: true}, attackVisit, w.attackCaller)
}
