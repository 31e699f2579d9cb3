package host

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// An allow list refuses as soon as it can be known that nothing on it matches, and not before.
func TestAllowed(t *testing.T) {
	network := peerstore.Target{Prefix: netip.MustParsePrefix("10.1.0.0/16")}
	inside, outside, none := netip.MustParseAddr("::ffff:10.1.2.3"), netip.MustParseAddr("10.2.0.1"), netip.Addr{}
	friend := peerstore.Target{ID: peerID(1)}
	both := []peerstore.Target{network, friend}
	for _, c := range []struct {
		name  string
		list  []peerstore.Target
		at    handshake.Checkpoint
		ip    netip.Addr
		named bool // the visitor's id is peer 1's
		ok    bool
	}{
		{"no list", nil, handshake.AtKey, outside, false, true},
		{"inside", both, handshake.AtKey, inside, false, true},
		{"outside", both, handshake.AtKey, outside, false, false},
		{"the id", both, handshake.AtKey, outside, true, true},
		{"the id, unknown yet", both, handshake.AtAccept, outside, false, true},
		{"no id would help", []peerstore.Target{network}, handshake.AtAccept, outside, false, false},
		{"a name to resolve", both, handshake.AtDial, none, false, true},
		{"no IP would help", []peerstore.Target{friend}, handshake.AtDial, none, false, false},
		{"a name that was resolved", both, handshake.AtDial, outside, false, false},
	} {
		a, err := newAllowed(c.list)
		if err != nil {
			t.Fatal(err)
		}
		v := handshake.Visitor{At: c.at, IP: c.ip}
		if c.named {
			v.ID = peerID(1)
		} else if c.at != handshake.AtAccept {
			v.ID = peerID(2)
		}
		if err := a.check(v); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := newAllowed([]peerstore.Target{{}}); err == nil {
		t.Error("an empty target was taken")
	}
}

// With a list of guests, guests that are not on it are refused once they are known to be guests; others never.
func TestTheseGuestsOnly(t *testing.T) {
	for _, c := range []struct {
		list      []transport.NodeID
		id        transport.NodeID
		guest, ok bool
	}{
		{nil, peerID(1), true, true},
		{[]transport.NodeID{peerID(1), peerID(2)}, peerID(2), true, true},
		{[]transport.NodeID{peerID(1)}, peerID(2), true, false},
		{[]transport.NodeID{peerID(1)}, peerID(2), false, true},
	} {
		cfg := testConfig()
		cfg.AllowGuests = c.list
		h, _ := newTestHost(t, cfg)
		err := h.gate(handshake.Visitor{At: handshake.AtInfo, ID: c.id, Wire: transport.WireLibp2p,
			Info: &handshake.NodeInfo{ID: c.id, Guest: c.guest}})
		r, _ := errors.AsType[*handshake.Refusal](err)
		named := r != nil && r.Limit == "peers.allow_guests" && r.Code == muxer.CodeFiltered
		if (err == nil) != c.ok || !c.ok && !named {
			t.Errorf("%v: %v", c, err)
		}
	}
}
