package peers

import (
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Each linked peer is told why it is kept.
func TestKept(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		persistent, trusted, unconditional := lowID(101), lowID(102), lowID(103)
		m := newPM(t, Config{MaxInbound: 16, Persistent: []transport.Address{addrOf(t, persistent, 0)},
			Unconditional: []transport.NodeID{unconditional}, Feelers: -1})
		m.SetStack("")
		for _, id := range []transport.NodeID{persistent, trusted, unconditional} {
			m.up(id)
		}
		if err := m.SetRole(trusted, Role{Trusted: true}); err != nil {
			t.Fatal(err)
		}
		asked := lowID(104)
		if err := m.BeginDial(addrOf(t, asked, 0)); err != nil {
			t.Fatal(err)
		}
		dialed := func(id transport.NodeID) {
			t.Helper()
			link, err := m.dialed(id)
			if m.Established(id, link); err != nil || !m.Ready(id, link, link, nil) {
				t.Fatalf("the link of %s is not up: %v", id.Short(), err)
			}
		}
		dialed(asked)
		outbound := lowID(105)
		if err := m.Add(addrOf(t, outbound, 0), peerstore.Source{Kind: "pex"}); err != nil {
			t.Fatal(err)
		}
		dialed(m.mustDial(outbound).ID)
		for i := range 16 {
			m.up(lowID(i))
			time.Sleep(time.Second)
		}
		m.SetLatency(lowID(15), time.Millisecond)
		m.Report(lowID(14), Behaviour{Points: 9})
		kept := m.Kept()
		for id, want := range map[transport.NodeID]Kept{
			persistent:    {KeptPersistent, "persistent"},
			trusted:       {KeptTrusted, "trusted by an operator"},
			unconditional: {KeptUnconditional, "unconditional"},
			asked:         {KeptOperator, "an operator asked for it"},
			outbound:      {KeptOutbound, "outbound slot 1 of 8"},
			lowID(0):      {KeptUptime, "among the longest up"},
			lowID(3):      {KeptUptime, "among the longest up"},
			lowID(14):     {KeptUseful, "among the most useful"},
			lowID(15):     {KeptLatency, "among the lowest round trips"},
		} {
			if kept[id] != want {
				t.Errorf("%s: %+v, want %+v", id.Short(), kept[id], want)
			}
		}
		counts := map[KeptCode]int{}
		for _, k := range kept {
			counts[k.Code]++
		}
		if len(kept) != 21 || counts[KeptInbound] < 6 || counts[KeptUptime] != 4 {
			t.Errorf("%d peers, %v", len(kept), counts)
		}
		m.Disconnect(lowID(0), &DisconnectError{Code: muxer.CodeRequested})
		if k := m.Kept(); len(k) != 21 || k[lowID(0)].Code == "" {
			t.Errorf("%d peers while one is on its way out", len(k))
		}
	})
}
