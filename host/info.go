package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// infoFor returns our node info for a connection, with the addresses that its remote can use best first, and what the
// program adds. If the node listens on every interface, the address is that of the connection.
func (h *Host) infoFor(local ma.Multiaddr, remote netip.Addr) handshake.NodeInfo {
	info := handshake.NodeInfo{
		ID: h.self, PeerID: h.peerID, Moniker: h.cfg.Moniker, Network: h.cfg.Network, Version: h.cfg.Version,
		P2PVersion: handshake.P2PVersion, BlockVersion: handshake.BlockVersion, Height: h.peers.Height(h.self),
		Protocols: h.streams.protocols(), Moves: h.cfg.MoveTo != nil,
	}
	if sealed := h.record.sealed.Load(); sealed != nil {
		info.SignedRecord = *sealed
	}
	for _, w := range h.cfg.Wires {
		info.Wires = append(info.Wires, w.Name())
	}
	for _, c := range h.channels {
		info.Channels = append(info.Channels, c.desc.ID)
	}
	all := slices.Clone(h.advertised())
	for i, m := range all {
		if ip, ok := transport.MultiaddrIP(local); ok && manet.IsIPUnspecified(m) {
			all[i] = withIP(m, ip)
		}
	}
	slices.SortStableFunc(all, func(a, b ma.Multiaddr) int { return reaches(a, remote) - reaches(b, remote) })
	for _, m := range all {
		info.Listen = append(info.Listen, m.String())
	}
	if h.cfg.Info != nil {
		ours := info
		h.cfg.Info(&info)
		info.ID, info.PeerID, info.Network, info.Guest = ours.ID, ours.PeerID, ours.Network, false
		info.Channels, info.Protocols, info.Wires = ours.Channels, ours.Protocols, ours.Wires
		info.Moves, info.SignedRecord = ours.Moves, ours.SignedRecord
	}
	return info
}

// stack names what decides whether we go together with a remote.
func (h *Host) stack() string {
	parts := []string{h.cfg.Network}
	for _, c := range h.channels {
		parts = append(parts, fmt.Sprintf("0x%02x", c.desc.ID))
	}
	for _, w := range h.cfg.Wires {
		parts = append(parts, w.Name())
	}
	for _, t := range h.cfg.Transports {
		parts = append(parts, t.Name())
	}
	return strings.Join(parts, " ")
}

// SelfAddresses returns the addresses at which we can be dialed, as far as we know: External with the IPs of its
// names, or what Reach has learned and the bound addresses, with the machine's own addresses in place of unspecified
// ones. Each is there over each of our wires that goes there, in order of preference.
func (h *Host) SelfAddresses() []transport.Address {
	var out []transport.Address
	nodes := [...]string{string(h.self), h.peerID}
	add := func(m ma.Multiaddr) {
		for _, w := range h.cfg.Wires {
			for _, node := range nodes {
				if a, err := transport.NewAddress(m, node); err == nil && w.CanDial(a) && !slices.Contains(out, a) {
					out = append(out, a)
				}
			}
		}
	}
	for _, m := range h.advertised() {
		if !manet.IsIPUnspecified(m) {
			add(m)
			continue
		}
		if resolved, err := manet.ResolveUnspecifiedAddresses([]ma.Multiaddr{m}, nil); err == nil {
			for _, r := range resolved {
				add(r)
			}
		}
	}
	return out
}

// gate is the host's own checkpoint: it refuses what is banned, and what needs no more work to be refused.
func (h *Host) gate(v handshake.Visitor) error {
	allow := h.allow.Load()
	if err := allow.check(v); err != nil {
		return err
	}
	switch v.At {
	case handshake.AtAccept, handshake.AtDial:
		return h.peers.CheckAccept(v.IP)
	case handshake.AtKey:
		if v.Wire == transport.WireLibp2p { // it tells the remote later why we refuse it, and knows guests later
			return h.peers.CheckID(v.ID, v.IP)
		}
		err := h.peers.CheckKey(v.ID, v.IP, v.Side)
		if r, ok := errors.AsType[*handshake.Refusal](err); ok && r.Limit == visitLimit &&
			h.receivesVisits(v.ID, v.IP) {
			return nil // it may ask something first
		}
		return err
	case handshake.AtInfo: // now it is known that the remote is a guest
		if v.Info.Guest && len(allow.guests) > 0 && !slices.Contains(allow.guests, v.ID) {
			return &handshake.Refusal{Code: muxer.CodeFiltered, Limit: "peers.allow_guests",
				Reason: "a plain libp2p peer that is not among those which are allowed"}
		}
	}
	return nil
}

// inspect sees the node info of each remote before it is judged. A remote that dials us and names another network is
// not dialed.
func (h *Host) inspect(v handshake.Visitor) {
	if v.Side == muxer.Listener && !v.Info.Guest && v.Info.ID == v.ID && v.Info.Network != h.cfg.Network {
		h.peers.WrongNetwork(v.ID, v.Info.Network)
	}
}

// Peers returns the links that are up, in order of node id.
func (h *Host) Peers() []PeerInfo {
	var out []PeerInfo
	kept := h.peers.Kept()
	h.links.eachUp(func(l *link) {
		p := l.info()
		p.Kept = kept[p.ID]
		out = append(out, p)
	})
	slices.SortFunc(out, func(a, b PeerInfo) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out
}

// Peer returns the link to one peer; false when it is not up.
func (h *Host) Peer(id transport.NodeID) (PeerInfo, bool) {
	l := h.links.of(id)
	if l == nil {
		return PeerInfo{}, false
	}
	return l.info(), true
}

func (l *link) info() PeerInfo {
	h, s, remote := l.host, l.shake, l.remote.Load()
	p := PeerInfo{
		ID: l.peer, LinkID: l.num, PeerID: l.peerID(), Address: l.address, Inbound: l.inbound, Stages: s.Stages,
		Wire: s.Wire, Transport: s.Transport, Security: s.Security, Muxer: s.Muxer,
		Moniker: s.Remote.Moniker, Network: s.Remote.Network, Version: s.Remote.Version,
		Channels: slices.Clone(l.channels), Protocols: remote.Protocols, Listen: remote.Listen,
		Guest: s.Remote.Guest, Stats: l.session.Stats(), InboxDropped: l.box.dropped.Load(),
		ReceiveQueued: l.box.bytes.Load(), Remote: *remote, IP: l.ip.Unmap(),
		SignedRecord: remote.SignedRecord, Key: s.RemoteKey, LocalAddr: s.LocalAddr, RemoteAddr: s.RemoteAddr,
	}
	if len(remote.Observed) > 0 {
		if at, err := ma.NewMultiaddrBytes(remote.Observed); err == nil {
			p.Observed = printable(at.String())
		}
	}
	for _, c := range s.RemoteAddr {
		if c.Code() == ma.P_TCP || c.Code() == ma.P_UDP {
			p.Port = binary.BigEndian.Uint16(c.RawValue())
			break
		}
	}
	l.meter.observe(l, &p)
	if up := l.peering.Load(); up != nil {
		p.Peering, p.Connected, p.Inbound = up.number, up.since, up.inbound
	}
	if st, ok := h.peers.Status(l.peer); ok {
		p.Trusted, p.Score = st.Trusted, st.Score
	}
	return p
}

// printable returns s, or "" if it has other than printable ASCII characters: a remote wrote it.
func printable(s string) string {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return ""
		}
	}
	return s
}
