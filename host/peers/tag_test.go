package peers

import (
	"math"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// A peer that the program has tagged is among the most useful, and makes room for nobody; one with negative points is
// not, whatever it did. The points end with the peer's links.
func TestTag(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{MaxInbound: 16})
		if Tag(m.Manager, lowID(1), 5) {
			t.Error("tagged a peer without a link")
		}
		links := map[int]uint64{}
		for i := range 16 {
			links[i], _ = m.accepted(lowID(i))
			m.settle(lowID(i), links[i], nil)
			time.Sleep(time.Second)
		}
		safe := func(i int) ground {
			m.mu.Lock()
			defer m.mu.Unlock()
			all, _ := m.evictable(slotInbound)
			return m.evictor.grounds.protected(all)[m.links[links[i]]]
		}
		m.Report(lowID(14), Behaviour{Points: 50})
		if !Tag(m.Manager, lowID(15), 100) || !Tag(m.Manager, lowID(14), -1000) ||
			!Tag(m.Manager, lowID(13), math.MaxInt) {
			t.Fatal("a linked peer was not tagged")
		}
		if safe(15) != useful || safe(13) != useful || safe(14) == useful {
			t.Errorf("grounds %v, %v, %v", safe(15), safe(13), safe(14))
		}
		if st, _ := m.Status(lowID(13)); st.Tag != maxTag || st.Score != 0 {
			t.Errorf("status %+v", st)
		}
		m.down(lowID(15), links[15], muxer.CodeRemoteClosed)
		links[15], _ = m.accepted(lowID(15))
		m.settle(lowID(15), links[15], nil)
		if safe(15) == useful {
			t.Error("the points outlive the link")
		}
	})
}
