package transport

import "net/netip"

// CheckDialable returns why no one host answers at the address; nil if one may. Its error is an *AddressError.
func (a Address) CheckDialable() error {
	ip, ok := a.IP()
	what := ""
	switch {
	case a.IsZero():
		what = "no address"
	case !ok:
		return nil
	case ip.IsUnspecified():
		what = "unspecified"
	case ip.IsMulticast():
		what = "multicast"
	case ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		what = "broadcast"
	case ip.Is6() && ip.IsLinkLocalUnicast(): // addresses have no zone
		what = "link-local without a zone"
	default:
		return nil
	}
	return &AddressError{Text: a.String(), Part: what, Want: "the address of one host"}
}
