package peers

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// guest is an inbound link of a plain libp2p peer.
func (m *pm) guest(id transport.NodeID) (uint64, error) {
	a := m.arrival(id)
	a.Guest = true
	a.IP, _ = addrOf(m.t, id, 0).IP()
	err := m.Arrived(accepted(a))
	return a.LinkID, err
}

// Guests have a budget of their own: it takes no other slot, and full inbound slots do not keep them out.
func TestGuestsHaveTheirOwnBudget(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{Guests: 2, MaxInbound: 1, MaxOutbound: 1, Unconditional: []transport.NodeID{highID(9)}})
		m.up(lowID(1))
		for i := 2; i < 4; i++ {
			l, err := m.guest(lowID(i))
			if err != nil {
				t.Fatal(err)
			}
			m.establish(lowID(i), l)
			m.Ready(lowID(i), l, l, nil)
		}
		_, err := m.guest(lowID(4))
		refused(t, err, muxer.CodeTooManyPeers, "peers.guests")
		if _, err := m.guest(highID(9)); err != nil {
			t.Errorf("an unconditional guest: %v", err)
		}
		_, err = m.accepted(lowID(5))
		refused(t, err, muxer.CodeTooManyPeers, "peers.max_inbound")
		if c := m.Counts(); c.Guests != 2 || c.Inbound != 1 || c.Trusted != 1 || c.Outbound != 0 {
			t.Errorf("counts %+v", c)
		}
		if !m.NeedsPeers() {
			t.Error("guests count as peers that are needed")
		}
		m.noEviction()
		if st, _ := m.Status(lowID(2)); !st.Guest || st.State != StateUp {
			t.Errorf("status %+v", st)
		}
	})
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{Guests: -1})
		_, err := m.guest(lowID(1))
		refused(t, err, muxer.CodeTooManyPeers, "peers.guests")
	})
}

// A guest may have two links, in one slot: the first is in use, the second serves what the guest opens, and takes over
// when the first ends.
func TestAGuestHasTwoLinksInOneSlot(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{Guests: 1, MaxUpgrades: -1})
		sub := m.Subscribe(t.Context())
		defer sub.Close()
		id := lowID(1)
		first, err := m.guest(id)
		m.settle(id, first, err)
		time.Sleep(time.Minute)
		second, err := m.guest(id)
		if err != nil {
			t.Fatal(err)
		}
		if preferred, extra := m.Established(id, second); preferred || extra != nil ||
			m.Ready(id, second, second, nil) {
			t.Errorf("the second link is preferred: %v, or ends %+v", preferred, extra)
		}
		if _, extra := m.Established(id, first); extra != nil {
			t.Errorf("the second link is a duplicate: %+v", extra)
		}
		_, err = m.guest(id)
		refused(t, err, muxer.CodeDuplicate, "")
		_, err = m.guest(lowID(2))
		refused(t, err, muxer.CodeTooManyPeers, "peers.guests")
		if c := m.Counts(); c != (Counts{Guests: 1}) {
			t.Errorf("counts %+v", c)
		}
		m.noEviction()
		if heir, ready := m.Disconnected(id, first, nil); heir != second || !ready ||
			!m.Ready(id, second, second, []byte{0}) {
			t.Errorf("link %d takes over, established %v", heir, ready)
		}
		if problem := onlyUp(sub); problem != "" {
			t.Error(problem)
		}
		if st, _ := m.Status(id); st.LinkID != second || st.State != StateUp || m.Counts() != (Counts{Guests: 1}) {
			t.Errorf("status %+v, counts %+v", st, m.Counts())
		}
		third, err := m.guest(id)
		if err != nil {
			t.Fatal(err)
		}
		m.Manager.Disconnect(id, nil)
		m.mustEvict(id, second, muxer.CodeRequested)
		m.mustEvict(id, third, muxer.CodeRequested)
		m.down(id, third, muxer.CodeRequested)
		m.down(id, second, muxer.CodeRequested)
		if c := m.Counts(); c != (Counts{}) {
			t.Errorf("counts %+v", c)
		}
	})
}

// A guest with two links is evicted like any other, with both of them.
func TestAGuestWithTwoLinksMakesRoom(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{Guests: 10})
		for i := range 10 {
			id := lowID(i)
			for range 2 {
				a := m.arrival(id)
				a.Guest, a.IP = true, netip.AddrFrom4([4]byte{30, 30, byte(i), 1})
				if err := m.Arrived(accepted(a)); err != nil {
					t.Fatal(err)
				}
				m.Established(id, a.LinkID)
				m.Ready(id, a.LinkID, a.LinkID, nil)
			}
		}
		id := highID(1)
		newcomer, err := m.guest(id)
		m.settle(id, newcomer, err)
		one, ok := m.TryEvictNext()
		two, both := m.TryEvictNext()
		if !ok || !both || one.ID != two.ID || one.ID == id || one.Reason.Reason != whyCrowded {
			t.Errorf("evicts %+v and %+v", one, two)
		}
		m.noEviction()
	})
}

// A peer that we were told of and that turns out to be a guest is refused, and neither dialed again nor advertised
// until it is known to be one of ours.
func TestLearnedGuestsAreLeftAlone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{})
		id := highID(1)
		m.learn(id)
		m.mustDial(id)
		a := m.arrival(id)
		a.Dialed, a.Guest = addrOf(t, id, 0), true
		err := m.Arrived(dialed(a))
		refused(t, err, muxer.CodeIncompatible, "")
		time.Sleep(time.Hour)
		m.noDial()
		if told := m.Advertise("", 10); len(told) != 0 {
			t.Errorf("advertised: %v", told)
		}
		if err := m.Add(addrOf(t, id, 1), peerstore.Source{Kind: "pex"}); err != nil {
			t.Error(err)
		}
		m.noDial()
		l := m.up(id) // it speaks our hello now
		m.down(id, l, muxer.CodeRemoteClosed)
		time.Sleep(time.Hour)
		m.mustDial(id)
	})
}

// What an operator names is dialed, guest or not, and is never advertised; also not after a restart.
func TestNamedGuestsAreDialed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		id, other := highID(1), highID(2)
		m := newPM(t, Config{Persistent: []transport.Address{addrOf(t, id, 0)}})
		link := func(id transport.NodeID) {
			t.Helper()
			a := m.arrival(id)
			a.Dialed, a.Guest = addrOf(t, id, 0), true
			if err := m.Arrived(dialed(a)); err != nil {
				t.Fatal(err)
			}
			m.establish(id, a.LinkID)
			m.Ready(id, a.LinkID, a.LinkID, nil)
			time.Sleep(time.Minute)
			if told := m.Advertise("", 10); len(told) != 0 {
				t.Errorf("advertised: %v", told)
			}
			m.down(id, a.LinkID, muxer.CodeRemoteClosed)
			if told := m.Advertise("", 10); len(told) != 0 {
				t.Errorf("advertised after its link: %v", told)
			}
		}
		m.mustDial(id)
		link(id)
		time.Sleep(time.Minute)
		m.mustDial(id) // persistent: again
		if err := m.BeginDial(addrOf(t, other, 0)); err != nil {
			t.Fatal(err)
		}
		link(other)
		time.Sleep(time.Hour)
		m.noDial() // only when asked for

		again, err := New(pmSelf, m.cfg, m.store)
		if err != nil {
			t.Fatal(err)
		}
		if told := again.Advertise("", 10); len(told) != 0 {
			t.Errorf("advertised after a restart: %v", told)
		}
	})
}

// Addresses that our stack cannot dial are kept and not dialed; of the others the one that we like better goes first,
// where nothing else is known.
func TestRankOfAddresses(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{Rank: func(a transport.Address) (int, bool) { return a.Port(), a.Port() != 9 }})
		id := highID(1)
		add := func(port string) transport.Address {
			a := mustAddress(t, "/ip4/9.9.9.9/tcp/"+port+"/mconn/"+string(id))
			m.Add(a, peerstore.Source{Kind: "pex"})
			return a
		}
		seven, nine, eight, six := add("7"), add("9"), add("8"), add("6")
		if d := m.mustDial(id); !slices.Equal(d.Addresses, []transport.Address{six, seven, eight}) {
			t.Errorf("dials %v", d.Addresses)
		}
		a := m.arrival(id)
		a.Dialed = eight
		if err := m.Arrived(dialed(a)); err != nil {
			t.Fatal(err)
		}
		m.settle(id, a.LinkID, nil)
		m.down(id, a.LinkID, muxer.CodeRemoteClosed)
		time.Sleep(2 * time.Hour)
		if d := m.mustDial(id); !slices.Equal(d.Addresses, []transport.Address{eight, six, seven}) {
			t.Errorf("dials %v", d.Addresses)
		}
		if !slices.Contains(m.Addresses(id), nine) {
			t.Error("an address that only others can dial was dropped")
		}
		only := highID(2)
		m.Add(mustAddress(t, "/ip4/9.9.9.8/tcp/9/mconn/"+string(only)), peerstore.Source{Kind: "pex"})
		m.noDial()
	})
}

// A guest that an operator dials takes a slot of a budget of its own; when all are taken it is refused. Guests that
// dial us have theirs all the same.
func TestDialedGuestsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{Guests: 1, DialedGuests: 2})
		for i := range 3 {
			id := lowID(i)
			if err := m.BeginDial(addrOf(t, id, 0)); err != nil {
				t.Fatal(err)
			}
			a := m.arrival(id)
			a.Dialed, a.Guest = addrOf(t, id, 0), true
			err := m.Arrived(dialed(a))
			if i == 2 {
				refused(t, err, muxer.CodeTooManyPeers, "peers.dialed_guests")
				break
			}
			m.settle(id, a.LinkID, err)
		}
		l, err := m.guest(lowID(7))
		m.settle(lowID(7), l, err)
		_, err = m.guest(lowID(8))
		refused(t, err, muxer.CodeTooManyPeers, "peers.guests")
		if c := m.Counts(); c != (Counts{Guests: 1, DialedGuests: 2}) {
			t.Fatalf("counts %+v", c)
		}
		m.noEviction()
		if kept := m.Kept()[lowID(1)]; kept.Text != "guest 2 of 2 that we dialed" {
			t.Errorf("kept: %+v", kept)
		}
		cfg := m.cfg
		cfg.DialedGuests = 1
		if err := Reconfigure(m.Manager, cfg); err != nil {
			t.Fatal(err)
		}
		m.mustEvict(lowID(1), 2, muxer.CodeEvicted)
	})
}
