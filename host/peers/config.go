package peers

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Config holds the settings of a Manager. The zero value works; a zero field means its default.
type Config struct {
	Persistent    []transport.Address // trusted peers: redialed for ever
	Unconditional []transport.NodeID  // no limit refuses them
	Private       []transport.NodeID  // never advertised
	// SharedNetworks are IPs and networks that many share (a NAT, a proxy): what one of them does is held against its
	// key alone.
	SharedNetworks []netip.Prefix

	MaxOutbound int // links that we dialed, trusted peers apart; 0 means 8, negative means none
	MaxInbound  int // links that dialed us, trusted and unconditional peers apart; 0 means 40, negative means none
	// MaxUpgrades (MaxConnectedUpgrade) bounds links beyond full slots, in each direction: outbound probes of better
	// peers, and inbound links for which one of a more crowded network group makes room. 0 means 4, negative none.
	MaxUpgrades int
	// OutboundPerGroup is how many outbound links a network group gets while peers of other groups can be dialed.
	// 0 means 1, negative means any number.
	OutboundPerGroup int
	// Anchors is how many of the longest-lived outbound peers are dialed first after a restart. 0 means 2, negative
	// means none.
	Anchors int
	// Feelers is the mean time between two short dials that only test an address, while all outbound slots are full.
	// 0 means 2 minutes, negative means never.
	Feelers time.Duration
	// Churn is the mean time after which an unprotected outbound peer gives its slot to another one, while all are
	// full, so that an attacker who has gathered our slots does not keep them. 0 means 1 hour, negative means never.
	Churn time.Duration
	// Guests bounds the links of plain libp2p peers, which name no network, and DialedGuests those of them that an
	// operator or the program dials (Host.Dial), trusted and unconditional ones apart from both. 0 means 16 and 64,
	// negative means none. Guests take no other slot, are dialed only on such a request or as persistent peers, and are
	// never advertised.
	Guests, DialedGuests int

	ConnectionsPerIP    int // links at once from one IP, loopback exempt; 0 means 8
	ConnectionsPerGroup int // links at once from one network group, loopback exempt; 0 means 32

	Dials    int // dials and their handshakes in flight at once, at most; 0 means 16
	DialRate int // dials a second, beyond a burst of 100; 0 means 50, negative means any number

	MinBackoff        time.Duration // after the first failure; 0 means 1 s
	MaxBackoff        time.Duration // 0 means 1 h
	MaxTrustedBackoff time.Duration // of a trusted peer; 0 means 1 min
	MaxRecentBackoff  time.Duration // of a peer that was connected within a day; 0 means 10 min
	Quarantine        time.Duration // of a peer of another network; 0 means 6 h
	StableAfter       time.Duration // how long a link must live to count as a success; 0 means 10 s

	// Rank reports whether our stack can dial an address, and how much we like to: lower is better. nil ranks all
	// alike.
	Rank func(transport.Address) (rank int, ok bool)

	// Seed starts the random choices (jitter, eviction among equals); 0 takes a random one. Tests set it.
	Seed uint64
}

// withDefaults returns a checked copy in which every zero field has its default.
func (c Config) withDefaults() (Config, error) {
	for _, a := range c.Persistent {
		if a.ID() == "" {
			return c, fmt.Errorf("peers.persistent: %s names no node id, so there is no telling whom to expect there",
				a)
		}
	}
	if slices.Contains(c.Unconditional, "") {
		return c, errors.New("peers.unconditional: an empty node id")
	}
	if slices.Contains(c.Private, "") {
		return c, errors.New("peers.private: an empty node id")
	}
	for _, f := range []struct {
		key       string
		n         *int
		otherwise int
	}{
		{"peers.max_outbound", &c.MaxOutbound, 8},
		{"peers.max_inbound", &c.MaxInbound, 40},
		{"peers.max_upgrades", &c.MaxUpgrades, 4},
		{"peers.guests", &c.Guests, 16},
		{"peers.dialed_guests", &c.DialedGuests, 64},
		{"peers.anchors", &c.Anchors, 2},
		{"limits.connections_per_ip", &c.ConnectionsPerIP, 8},
		{"limits.connections_per_group", &c.ConnectionsPerGroup, 32},
	} {
		switch {
		case *f.n == 0:
			*f.n = f.otherwise
		case *f.n < 0 && strings.HasPrefix(f.key, "limits."):
			return c, fmt.Errorf("%s: %d is not a number of connections", f.key, *f.n)
		case *f.n < 0:
			*f.n = 0
		}
	}
	switch {
	case c.OutboundPerGroup == 0:
		c.OutboundPerGroup = 1
	case c.OutboundPerGroup < 0:
		c.OutboundPerGroup = math.MaxInt
	}
	for _, f := range []struct {
		name      string
		d         *time.Duration
		otherwise time.Duration
		negative  bool // negative means never
	}{
		{"Feelers", &c.Feelers, 2 * time.Minute, true},
		{"Churn", &c.Churn, time.Hour, true},
		{"MinBackoff", &c.MinBackoff, time.Second, false},
		{"MaxBackoff", &c.MaxBackoff, time.Hour, false},
		{"MaxTrustedBackoff", &c.MaxTrustedBackoff, time.Minute, false},
		{"MaxRecentBackoff", &c.MaxRecentBackoff, 10 * time.Minute, false},
		{"Quarantine", &c.Quarantine, 6 * time.Hour, false},
		{"StableAfter", &c.StableAfter, 10 * time.Second, false},
	} {
		if *f.d < 0 && !f.negative {
			return c, fmt.Errorf("peers: %s of %s is negative", f.name, *f.d)
		}
		if *f.d == 0 {
			*f.d = f.otherwise
		}
	}
	if c.Dials <= 0 {
		c.Dials = 16
	}
	if c.DialRate == 0 {
		c.DialRate = 50
	}
	if c.MinBackoff > min(c.MaxBackoff, c.MaxTrustedBackoff, c.MaxRecentBackoff) {
		return c, fmt.Errorf("peers: MinBackoff of %s is above MaxBackoff (%s), MaxTrustedBackoff (%s) or "+
			"MaxRecentBackoff (%s)", c.MinBackoff, c.MaxBackoff, c.MaxTrustedBackoff, c.MaxRecentBackoff)
	}
	if c.Rank == nil {
		c.Rank = func(transport.Address) (int, bool) { return 0, true }
	}
	return c, nil
}
