package peerstore

import (
	"net/netip"
	"strings"

	"github.com/switchyard-p2p/switchyard/transport"
)

// ParseTarget reads what a ban names: a node id (40 hex digits or a libp2p peer id), an IP address or a CIDR. Two texts
// that mean the same give the same Target. Its error is a *TargetError.
func ParseTarget(text string) (Target, error) {
	s := strings.TrimSpace(text)
	if s == "" {
		return Target{}, &TargetError{Text: text, Why: "want a node id, an IP address or a CIDR"}
	}
	var t Target
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return Target{}, &TargetError{Text: text, Why: "not a CIDR such as 192.0.2.0/24 or 2001:db8::/32"}
		}
		t.Prefix = p
	} else if ip, err := netip.ParseAddr(s); err == nil {
		if ip.Zone() != "" {
			return Target{}, &TargetError{Text: text, Why: "an IP address with a zone cannot be banned"}
		}
		t.Prefix = netip.PrefixFrom(ip, ip.BitLen())
	} else if id, err := transport.ParseNodeID(s); err == nil {
		t.ID = id
	} else {
		return Target{}, &TargetError{Text: text, Why: "neither a node id, an IP address nor a CIDR"}
	}
	return t.Normal()
}

// IPTarget returns the Target of one IP address. The zero Addr gives the zero Target, which Ban refuses.
func IPTarget(ip netip.Addr) Target {
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() {
		return Target{}
	}
	return Target{Prefix: netip.PrefixFrom(ip, ip.BitLen())}
}

// String returns the target as ParseTarget reads it: a node id, an IP address or a CIDR; "" for the zero Target.
func (t Target) String() string {
	switch {
	case t.ID != "":
		return string(t.ID)
	case !t.Prefix.IsValid():
		return ""
	case t.Prefix.IsSingleIP():
		return t.Prefix.Addr().String()
	}
	return t.Prefix.String()
}

// Normal checks a target and returns its normal form: ids as transport.ParseNodeID returns them, prefixes without host
// bits, IPv4 in IPv6 as IPv4. Its error is a *TargetError.
func (t Target) Normal() (Target, error) {
	switch {
	case t.ID == "" && t.Prefix == netip.Prefix{}:
		return t, &TargetError{Why: "names neither a node nor a network"}
	case t.ID != "" && t.Prefix != netip.Prefix{}:
		return t, &TargetError{Text: string(t.ID), Why: "names both a node and the network " + t.Prefix.String()}
	case t.ID != "":
		id, err := transport.ParseNodeID(string(t.ID))
		if err != nil {
			return t, &TargetError{Text: string(t.ID), Why: "not a node id"}
		}
		return Target{ID: id}, nil
	case !t.Prefix.IsValid():
		return t, &TargetError{Text: t.Prefix.String(), Why: "not a valid network"}
	}
	ip, bits := t.Prefix.Addr(), t.Prefix.Bits()
	if ip.Is4In6() {
		if bits < 96 {
			return t, &TargetError{Text: t.Prefix.String(), Why: "reaches beyond the IPv4 addresses in IPv6"}
		}
		ip, bits = ip.Unmap(), bits-96
	}
	t.Prefix = netip.PrefixFrom(ip.WithZone(""), bits).Masked()
	return t, nil
}
