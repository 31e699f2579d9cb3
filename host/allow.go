package host

import (
	"net/netip"
	"slices"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// allowed checks Config.Allow and Config.AllowGuests.
type allowed struct {
	ids      []transport.NodeID
	networks []netip.Prefix
	guests   []transport.NodeID
}

func newAllowed(targets []peerstore.Target) (a allowed, err error) {
	for _, t := range targets {
		if t, err = t.Normal(); err != nil {
			return a, err
		}
		if t.ID != "" {
			a.ids = append(a.ids, t.ID)
		} else {
			a.networks = append(a.networks, t.Prefix)
		}
	}
	return a, nil
}

// check refuses a visitor whose id and IP are both not allowed, as soon as that is known: an id once its key is proven,
// the IP of a host name once the name is resolved.
func (a allowed) check(v handshake.Visitor) error {
	if len(a.ids)+len(a.networks) == 0 || v.ID != "" && slices.Contains(a.ids, v.ID) {
		return nil
	}
	ip := v.IP.Unmap().WithZone("")
	if slices.ContainsFunc(a.networks, func(n netip.Prefix) bool { return n.Contains(ip) }) {
		return nil
	}
	switch {
	case v.At == handshake.AtAccept && len(a.ids) > 0, v.At == handshake.AtDial && !ip.IsValid() && len(a.networks) > 0:
		return nil
	}
	return &handshake.Refusal{Code: muxer.CodeFiltered, Limit: "peers.allow_networks",
		Reason: "only certain ids and networks are dialed and accepted"}
}
