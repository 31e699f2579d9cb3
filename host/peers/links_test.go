package peers

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Two links of one peer, in each order, with and without confirmation. Ours is the lower id towards highID and the
// higher one towards lowID.
func TestSimultaneousLinks(t *testing.T) {
	const outbound, inbound = muxer.Dialer, muxer.Listener
	type end struct {
		replaces, standby, duplicate bool // the verdict on the second link
		settled                      bool // the remote has accepted the first
	}
	for name, tc := range map[string]struct {
		id            transport.NodeID
		first, second muxer.Side
		confirms      bool
		want          end
	}{
		"comet, the preferred one second (we dialed, lower)": {highID(1), inbound, outbound, false,
			end{replaces: true}},
		"comet, the preferred one second (they dialed, lower)": {lowID(1), outbound, inbound, false,
			end{replaces: true}},
		"comet, the preferred one first (we dialed, lower)": {highID(1), outbound, inbound, false,
			end{standby: true}},
		"comet, the preferred one first (they dialed, lower)": {lowID(1), inbound, outbound, false,
			end{standby: true}},
		"comet, twice from them": {lowID(1), inbound, inbound, false,
			end{standby: true}},
		"with confirmation, we decide (we dialed second)": {highID(1), inbound, outbound, true,
			end{duplicate: true}},
		"with confirmation, we decide (we dialed first)": {highID(1), outbound, inbound, true,
			end{duplicate: true}},
		"with confirmation, we decide, twice from them": {highID(1), inbound, inbound, true,
			end{duplicate: true}},
		"with confirmation, they decide (they dialed second)": {lowID(1), outbound, inbound, true,
			end{replaces: true}},
		"with confirmation, they decide (they dialed first)": {lowID(1), inbound, outbound, true,
			end{standby: true}},
		"with confirmation, they decide, twice from them": {lowID(1), inbound, inbound, true,
			end{standby: true}},
		"with confirmation, they have decided": {lowID(1), outbound, inbound, true,
			end{duplicate: true, settled: true}},
		"comet, twice from them, higher (both stay for a moment)": {highID(1), inbound, inbound, false,
			end{standby: true}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				m := newPM(t, Config{})
				m.learn(tc.id)
				if tc.first == outbound || tc.second == outbound {
					m.mustDial(tc.id)
				}
				arrive := func(side muxer.Side) (uint64, error) {
					a := m.arrival(tc.id)
					a.Side, a.Confirms = side, tc.confirms
					if side == outbound {
						a.Dialed = addrOf(t, tc.id, 0)
					}
					return a.LinkID, m.Arrived(a)
				}
				one, err := arrive(tc.first)
				if err != nil {
					t.Fatal("first:", err)
				}
				if tc.want.settled {
					m.establish(tc.id, one)
					m.Ready(tc.id, one, one, nil)
				}
				two, err := arrive(tc.second)
				if tc.want.duplicate {
					refused(t, err, muxer.CodeDuplicate, "")
					if st, _ := m.Status(tc.id); st.LinkID != one {
						t.Fatalf("status %+v", st)
					}
					return
				}
				current, standby := two, one
				if tc.want.standby {
					current, standby = one, two
				}
				if got := m.preferred(tc.id); err != nil || !slices.Equal(got, []uint64{current, standby}) {
					t.Fatalf("second: links %d, %v", got, err)
				}
				if !tc.confirms && m.Ready(tc.id, standby, standby, nil) {
					t.Fatal("the standby counts as up")
				}
				if _, err := arrive(inbound); err == nil {
					t.Fatal("a third link was taken")
				}
				if got := m.establish(tc.id, standby); got != 0 {
					t.Fatalf("an established standby closes %d", got)
				}
				if got := m.establish(tc.id, current); got != standby {
					t.Fatalf("it closes %d, want %d", got, standby)
				}
				if !m.Ready(tc.id, current, current, nil) {
					t.Fatal("the current link does not count as up")
				}
				if got := m.down(tc.id, standby, muxer.CodeDuplicate); got != 0 {
					t.Fatalf("promotes %d", got)
				}
				if st, _ := m.Status(tc.id); st.LinkID != current || st.State != StateUp {
					t.Fatalf("status %+v", st)
				}
			})
		})
	}
}

func TestStandbyTakesOver(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{})
		sub := m.Subscribe(t.Context())
		defer sub.Close()
		id := highID(1)
		m.learn(id)
		m.mustDial(id)
		first, _ := m.accepted(id)
		if m.establish(id, first); !m.Ready(id, first, first, []byte{1}) {
			t.Fatal("not ready")
		}
		_, err := m.dialed(id)
		refused(t, err, muxer.CodeDuplicate, "") // settled: CometBFT would have told us by now
		if u, err := sub.Next(t.Context()); err != nil || u.Status != Up {
			t.Fatal(u, err)
		}
		m.down(id, first, muxer.CodeRemoteClosed)
		if u, err := sub.Next(t.Context()); err != nil || u.Status != Down || u.Reason.Code != muxer.CodeRemoteClosed {
			t.Fatal(u, err)
		}

		time.Sleep(time.Minute)
		m.mustDial(id)
		first, _ = m.accepted(id)
		second, err := m.dialed(id)
		if got := m.preferred(id); err != nil || !slices.Equal(got, []uint64{second, first}) {
			t.Fatal(got, err)
		}
		if got := m.down(id, second, muxer.CodeRemoteClosed); got != first {
			t.Fatalf("promotes %d, want %d", got, first)
		}
		if m.establish(id, first) != 0 || !m.Ready(id, first, first, []byte{1}) {
			t.Fatal("the promoted link does not count")
		}
		if u, err := sub.Next(t.Context()); err != nil || u.Status != Up || !u.Inbound {
			t.Fatal(u, err)
		}
		if c := m.Counts(); c != (Counts{Inbound: 1}) {
			t.Fatalf("counts %+v", c)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if u, err := sub.Next(ended); err == nil {
			t.Fatalf("a flap: %+v", u)
		}
	})
}

func TestNewLinkReplacesOneOnItsWayOut(t *testing.T) {
	m := newPM(t, Config{MaxInbound: 1})
	id := lowID(1)
	old := m.up(id)
	_, err := m.accepted(id)
	refused(t, err, muxer.CodeDuplicate, "")
	if !m.Manager.Disconnect(id, &DisconnectError{Code: muxer.CodeRequested}) || m.Manager.Disconnect(id, nil) {
		t.Fatal("want one request")
	}
	if err := m.CheckKey(id, netip.Addr{}, muxer.Listener); err != nil {
		t.Fatal(err)
	}
	young, err := m.accepted(id) // the only slot is the old one's
	if err != nil {
		t.Fatal(err)
	}
	m.mustEvict(id, old, muxer.CodeRequested)
	if m.down(id, old, muxer.CodeRequested) != 0 {
		t.Fatal("promotes")
	}
	if st, _ := m.Status(id); st.LinkID != young {
		t.Fatalf("status %+v", st)
	}
	m.establish(id, young)
	if !m.Ready(id, young, young, nil) {
		t.Fatal("not ready")
	}
}

func TestRefusals(t *testing.T) {
	t.Run("inbound slots", func(t *testing.T) {
		a, b, c, d := lowID(1), lowID(2), lowID(3), lowID(4)
		m := newPM(t, Config{MaxInbound: 1, Unconditional: []transport.NodeID{c},
			Persistent: []transport.Address{addrOf(t, d, 0)}})
		m.up(a)
		_, err := m.accepted(b)
		refused(t, err, muxer.CodeTooManyPeers, "peers.max_inbound")
		r, _ := m.CheckKey(b, netip.Addr{}, muxer.Listener).(*handshake.Refusal)
		if r == nil || r.Code != muxer.CodeTooManyPeers || r.Limit != "peers.max_inbound" ||
			r.Stage != handshake.StageSecurity {
			t.Fatalf("gate: %v", r)
		}
		for _, id := range []transport.NodeID{c, d} {
			if err := m.CheckKey(id, netip.Addr{}, muxer.Listener); err != nil {
				t.Fatal(err)
			}
			m.up(id)
		}
		if got := m.Counts(); got != (Counts{Inbound: 1, Trusted: 2}) {
			t.Fatalf("counts %+v", got)
		}
		if _, ok := m.store.Get(b); ok {
			t.Fatal("a refused stranger is known")
		}
		m.noEviction()
	})
	t.Run("duplicates and ourselves", func(t *testing.T) {
		m := newPM(t, Config{})
		id := lowID(1)
		m.up(id)
		r, _ := m.CheckKey(id, netip.Addr{}, muxer.Listener).(*handshake.Refusal)
		if r == nil || r.Code != muxer.CodeDuplicate {
			t.Fatalf("gate: %v", r)
		}
		if r, _ = m.CheckKey(pmSelf, netip.Addr{}, muxer.Dialer).(*handshake.Refusal); r == nil ||
			r.Code != muxer.CodeSelf {
			t.Fatalf("gate: %v", r)
		}
		_, err := m.accepted(pmSelf)
		refused(t, err, muxer.CodeSelf, "")
	})
	t.Run("connections per IP and group", func(t *testing.T) {
		free := lowID(99)
		m := newPM(t, Config{ConnectionsPerIP: 2, ConnectionsPerGroup: 3, Unconditional: []transport.NodeID{free}})
		n := 0
		from := func(ip string, id transport.NodeID) (uint64, error) {
			a := m.arrival(id)
			a.IP = netip.MustParseAddr(ip)
			err := m.Arrived(accepted(a))
			return a.LinkID, err
		}
		take := func(ip string) (transport.NodeID, uint64) {
			t.Helper()
			n++
			l, err := from(ip, lowID(n))
			if err != nil {
				t.Fatal(err)
			}
			return lowID(n), l
		}
		refuse := func(ip, limit string) {
			t.Helper()
			n++
			_, err := from(ip, lowID(n))
			refused(t, err, muxer.CodeTooManyPeers, limit)
			if r, _ := m.CheckKey(lowID(n), netip.MustParseAddr(ip), muxer.Listener).(*handshake.Refusal); r == nil ||
				r.Limit != limit {
				t.Fatalf("gate: %v", r)
			}
		}
		first, l := take("1.2.3.4")
		take("::ffff:1.2.3.4")
		refuse("1.2.3.4", "limits.connections_per_ip")
		take("1.2.9.9")
		refuse("1.2.7.7", "limits.connections_per_group")
		if _, err := from("1.2.3.4", free); err != nil {
			t.Fatal("an unconditional peer is refused", err)
		}
		take("2001:db8:1:1::1")
		take("2001:db8:1:1::2") // the same /64
		refuse("2001:db8:1:1::3", "limits.connections_per_ip")
		take("2001:db8:1:2::1")
		refuse("2001:db8:7:2::1", "limits.connections_per_group")
		for range 10 {
			take("127.0.0.1")
		}
		m.down(first, l, muxer.CodeRemoteClosed)
		refuse("1.2.3.4", "limits.connections_per_ip") // the unconditional one counts
		m.down(free, m.Manager.mustLink(free), muxer.CodeRemoteClosed)
		take("1.2.3.4")
	})
	t.Run("bans", func(t *testing.T) {
		m := newPM(t, Config{})
		id, near := lowID(1), lowID(2)
		l := m.up(id)
		a := m.arrival(near)
		a.IP = netip.MustParseAddr("9.8.7.6")
		if err := m.Arrived(accepted(a)); err != nil {
			t.Fatal(err)
		}
		if err := m.Ban(peerstore.Target{ID: id}, time.Time{}, "spam"); err != nil {
			t.Fatal(err)
		}
		if err := m.Ban(peerstore.Target{Prefix: ipPrefix("9.8.0.0/16")}, time.Now().Add(time.Hour),
			"network"); err != nil {
			t.Fatal(err)
		}
		m.mustEvict(id, l, muxer.CodeBanned)
		m.mustEvict(near, a.LinkID, muxer.CodeBanned)
		m.noEviction()
		m.down(id, l, muxer.CodeBanned)
		_, err := m.accepted(id)
		refused(t, err, muxer.CodeBanned, "")
		if r, _ := m.CheckAccept(netip.MustParseAddr("9.8.1.1")).(*handshake.Refusal); r == nil ||
			r.Code != muxer.CodeBanned || r.Reason != "network" {
			t.Fatalf("gate: %v", r)
		}
		if r, _ := m.CheckKey(id, netip.Addr{}, muxer.Listener).(*handshake.Refusal); r == nil ||
			r.Code != muxer.CodeBanned {
			t.Fatalf("gate: %v", r)
		}
		if m.Add(addrOf(t, id, 0), peerstore.Source{Kind: "pex"}) == nil {
			t.Fatal("learned a banned peer")
		}
		if was, err := m.Unban(peerstore.Target{ID: id}); !was || err != nil {
			t.Fatal(was, err)
		}
		m.up(id)
		for _, bad := range []peerstore.Target{{}, {ID: id, Prefix: ipPrefix("1.2.3.4/32")}, {ID: pmSelf}} {
			if err := m.Ban(bad, time.Time{}, ""); err == nil {
				t.Fatalf("banned %+v", bad)
			}
		}
		if err := m.Ban(peerstore.Target{ID: id}, time.Now().Add(-1), ""); err == nil {
			t.Fatal("banned until the past")
		}
	})
}

// Events on unknown ids and links change nothing.
func TestIgnoresTheUnknown(t *testing.T) {
	m := newPM(t, Config{})
	id, known := lowID(1), lowID(2)
	l := m.up(known)
	m.Report(id, Behaviour{Points: 5})
	m.Report(id, Behaviour{Severity: Ban})
	m.Disconnect(id, nil)
	m.SetHeight(id, 5)
	m.SetLatency(id, time.Second)
	m.DialFailed(id, []DialFailure{{Err: context.Canceled}})
	m.DialFailed(known, nil)
	if m.down(id, l, muxer.CodeUnknown) != 0 || m.establish(id, l) != 0 || m.Ready(id, l, l, nil) ||
		m.Ready(known, 77, 77, nil) || m.establish(known, 77) != 0 {
		t.Fatal("an event on an unknown link did something")
	}
	m.Disconnected(known, 77, nil)
	if _, ok := m.store.Get(id); ok || m.Height(id) != 0 {
		t.Fatal("an event inserted a peer")
	}
	if st, ok := m.Status(id); ok || st.State != StateKnown {
		t.Fatalf("status %+v %v", st, ok)
	}
	if got := m.Peers(); len(got) != 1 || got[0] != known {
		t.Fatalf("peers %v", got)
	}
	if c := m.Counts(); c != (Counts{Inbound: 1}) {
		t.Fatalf("counts %+v", c)
	}
	m.noEviction()
}

func (m *Manager) mustLink(id transport.NodeID) uint64 {
	st, _ := m.Status(id)
	return st.LinkID
}

// A link that was dialed although nobody asked for that is refused. Of one that was asked for, the store knows when.
func TestDialsThatWork(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := newPM(t, Config{})
		id := lowID(1)
		m.learn(id)
		_, err := m.dialed(id)
		refused(t, err, muxer.CodeUnknown, "")
		time.Sleep(time.Hour)
		m.dialUp(id)
		if a := m.record(id).Addresses[0]; !a.LastDialed.Equal(time.Now()) {
			t.Fatalf("%+v", a)
		}
	})
}
