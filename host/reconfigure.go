package host

import (
	"errors"
	"fmt"
	"slices"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// Reconfigure changes the settings of a host while it runs: cfg's Peers (as peers.Reconfigure), Allow, AllowGuests,
// Handshake.Limits, Limits.PeerStreams and Limits.ProtocolStreams. The rest of cfg is ignored. Links that are no longer
// allowed end. An error names the setting that is wrong, and changes nothing.
func Reconfigure(h *Host, cfg Config) error {
	allow, err := newAllowed(cfg.Allow)
	if err != nil {
		return fmt.Errorf("peers.allow_networks: %w", err)
	}
	allow.guests = cfg.AllowGuests
	if l := cfg.Handshake.Limits; min(l.Handshakes, l.HandshakesPerIP, l.AttemptsPerIP) < 0 {
		return errors.New("limits.handshakes, limits.handshakes_per_ip, limits.attempts_per_ip: one is negative")
	}
	if err := peers.Reconfigure(h.peers, cfg.Peers); err != nil {
		return err
	}
	if err := h.router.upgrader.SetLimits(cfg.Handshake.Limits); err != nil {
		return err
	}
	h.allow.Store(&allow)
	limits := cfg.Limits.withDefaults()
	h.streams.limits.Store(&limits)
	h.links.eachUp(func(l *link) {
		visitor := handshake.Visitor{At: handshake.AtKey, ID: l.peer, IP: l.ip}
		switch guest := l.remote.Load().Guest; {
		case allow.check(visitor) != nil:
			h.Disconnect(l.peer, muxer.CodeFiltered, "peers.allow_networks has changed")
		case guest && len(allow.guests) > 0 && !slices.Contains(allow.guests, l.peer):
			h.Disconnect(l.peer, muxer.CodeFiltered, "peers.allow_guests has changed")
		}
	})
	return nil
}
