package host

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/transport"
)

// HandshakeConfig bounds the way from a raw connection to a link.
type HandshakeConfig struct {
	Timeout time.Duration // all stages together; 0 means 5 s
	Limits  handshake.Limits
}

// withDefaults returns a checked copy in which every zero field has its default.
func (c Config) withDefaults() (Config, error) {
	if c.Moniker == "" {
		c.Moniker = "switchyard"
	}
	if c.Version == "" {
		c.Version = "switchyard"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Handshake.Timeout == 0 {
		c.Handshake.Timeout = handshake.DefaultTimeout
	}
	c.Limits = c.Limits.withDefaults()
	if c.Limits.Grace <= 0 {
		c.Limits.Grace = c.Handshake.Timeout
	}
	switch {
	case c.Network == "":
		return c, errors.New("network: a host needs the name of its network")
	case c.Identity == nil:
		return c, errors.New("identity: a host needs an identity")
	case c.Store == nil:
		return c, errors.New("store: a host needs a peer store")
	case len(c.Transports) == 0:
		return c, errors.New("stack.transports: a host needs at least one transport")
	case len(c.Wires) == 0:
		return c, errors.New("stack.wires: a host needs at least one wire")
	}
	for _, r := range c.Moniker {
		if r < 32 || r > 126 {
			return c, fmt.Errorf("moniker %q: only printable ASCII reaches every peer", c.Moniker)
		}
	}
	return c, nil
}

// rank is peers.Config.Rank: whether a wire and a transport of ours dial the address, and in which place they stand in
// our order of wires, then of transports. Of the addresses of one wire, those to which links move come first.
func (c *Config) rank(addr transport.Address) (int, bool) {
	m := addr.Multiaddr()
	for i, w := range c.Wires {
		if !w.CanDial(addr) {
			continue
		}
		for k, t := range c.Transports {
			if t.CanDial(m) {
				if c.MoveTo != nil && c.MoveTo(addr) {
					k = -1
				}
				return i*(len(c.Transports)+1) + k, true
			}
		}
	}
	return 0, false
}
