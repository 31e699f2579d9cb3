package peers

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// Shares of the links that each ground protects.
const (
	ageShare   = 4 // the oldest quarter
	otherShare = 8 // an eighth: the most useful; the nearest; the oldest of network groups that a secret hash chooses
)

// grounds decides which links make room for nobody. Its key is secret: see priority.
type grounds struct{ key [16]byte }

// ground is one on which a link makes room for nobody.
type ground uint8

const (
	unprotected ground = iota
	oldest
	useful
	nearest
	grouped // the oldest of a network group that a secret hash chooses
)

// protected returns the links that make room for nobody, and the ground of each: at least one on each ground where
// there is one. The grounds are asked in order, and each protects the best of those that none before it has. So five
// eighths of the links are protected, and an attacker would have to win on every ground to take their places. On the
// first he cannot: the oldest quarter stays, whatever comes later.
func (g *grounds) protected(links []*link) map[*link]ground {
	out := make(map[*link]ground, len(links))
	rest := slices.Clone(links)
	protect := func(on ground, share int, eligible func(*link) bool, better func(a, b *link) int) {
		slices.SortFunc(rest, func(a, b *link) int { return cmp.Or(better(a, b), older(a, b)) })
		n := max(1, len(links)/share)
		rest = slices.DeleteFunc(rest, func(l *link) bool {
			if n == 0 || !eligible(l) {
				return false
			}
			n--
			out[l] = on
			return true
		})
	}
	protect(oldest, ageShare, func(*link) bool { return true }, older)
	protect(useful, otherShare, func(l *link) bool { return l.worth() > 0 },
		func(a, b *link) int { return cmp.Compare(b.worth(), a.worth()) })
	protect(nearest, otherShare, func(l *link) bool { return l.latency > 0 },
		func(a, b *link) int { return cmp.Compare(uint64(a.latency-1), uint64(b.latency-1)) }) // unknown (0) is last
	priority := map[peerstore.Group]uint64{}
	for _, l := range rest {
		if _, known := priority[l.group]; !known && !l.group.IsZero() {
			priority[l.group] = g.groupPriority(l.group)
		}
	}
	protect(grouped, otherShare, func(l *link) bool { // the first of each group is its oldest
		_, first := priority[l.group]
		delete(priority, l.group)
		return first
	}, func(a, b *link) int { return cmp.Compare(priority[a.group], priority[b.group]) })
	return out
}

// groupPriority is a secret number of a network group. Groups with a low one are protected, and nobody can choose one.
func (g *grounds) groupPriority(group peerstore.Group) uint64 {
	sum := sha256.Sum256(append(g.key[:], group.String()...))
	return binary.BigEndian.Uint64(sum[:])
}
