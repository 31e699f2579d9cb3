package peers

import (
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Quarantines may have come of our own configuration. When our network, channels or stack change they end, and those of
// peers that the operator names end at each start; the others outlast a restart.
func TestQuarantinesEndWithTheirCause(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		a, b, persistent := lowID(1), lowID(2), highID(3)
		m := newPM(t, Config{Persistent: []transport.Address{addrOf(t, persistent, 0)}})
		m.SetStack("typo-net")
		m.learn(a, b)
		foreign := func() {
			for range 3 {
				d := m.mustDial("")
				m.fail(d.ID, otherNetwork(d.ID))
			}
			m.noDial()
		}
		quarantined := func(want ...transport.NodeID) {
			t.Helper()
			got := m.Quarantined()
			if slices.Sort(want); !slices.Equal(got, want) {
				t.Fatalf("in quarantine: %v, want %v", got, want)
			}
			for _, id := range got {
				if st, _ := m.Status(id); !st.Quarantined.After(time.Now()) || st.Reason == "" {
					t.Fatalf("status %+v", st)
				}
			}
		}
		foreign()
		quarantined(a, b, persistent)
		m = m.restart(nil)
		m.SetStack("typo-net")
		quarantined(a, b)
		m.mustDial(persistent)
		m.fail(persistent, errUnreachable)
		if err := m.Add(addrOf(t, b, 0), peerstore.Source{Kind: peerstore.SourceConfig}); err != nil { // bootstrap
			t.Fatal(err)
		}
		quarantined(a)
		m.mustDial(b)
		m.fail(b, otherNetwork(b))
		quarantined(a, b)

		m = m.restart(nil)
		m.SetStack("the right net")
		quarantined()
		foreign()
		time.Sleep(6 * time.Hour)
		quarantined()
	})
}

// An operator ends what keeps a peer from being dialed.
func TestClear(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		a, b := lowID(1), lowID(2)
		m := newPM(t, Config{})
		m.learn(a)
		m.fail(m.mustDial(a).ID, otherNetwork(a))
		m.noDial()
		if !m.Clear(a) || len(m.Quarantined()) != 0 {
			t.Fatalf("in quarantine: %v", m.Quarantined())
		}
		m.fail(m.mustDial(a).ID, errUnreachable)
		m.noDial()
		if !m.Clear(a) {
			t.Fatal("a is not known")
		}
		m.mustDial(a)
		if _, known := m.Status(b); m.Clear(b) || known {
			t.Fatal("an unknown peer was cleared")
		}
	})
}
