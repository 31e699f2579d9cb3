package modules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// identityTimeout bounds the request for the identity's public key.
const identityTimeout = 5 * time.Second

// Host is the module of the host. It needs []transport.Transport, []handshake.Wire, handshake.Identity, peerstore.Store
// and the metrics, and provides *host.Host. Gates in the value group "gates" are called after the host's own.
// Each func(*host.Config) in the value group "tune" may change what the configuration has no key for.
func Host(c Config) fx.Option {
	return fx.Module("host",
		fx.Provide(func(s supervisor, in hostParts) (*host.Host, error) {
			cfg, err := hostConfig(&c, ThisMachine())
			if err != nil {
				return nil, err
			}
			cfg.Identity, cfg.Store, cfg.Gates = in.Identity, in.Store, in.Gates
			cfg.Transports, cfg.Wires = in.Transports, in.Wires
			cfg.Logger, cfg.Metrics = in.Log.For("host"), in.Metrics.Registerer
			for _, change := range in.Tune {
				change(&cfg)
			}
			logLimits(in.Log.For("host"), &c, cfg)
			if err := c.canListen(cfg.Listen, in.Transports); err != nil {
				return nil, err
			}
			if err := c.canDial(in.Transports, in.Wires); err != nil {
				return nil, err
			}
			ctx, cancel := context.WithTimeout(context.Background(), identityTimeout)
			defer cancel()
			h, err := host.New(ctx, cfg)
			if err != nil {
				return nil, err
			}
			s.add(task{name: "host", run: h.Run, ready: func(ctx context.Context, ended <-chan struct{}) error {
				return listening(ctx, h, len(cfg.Listen), ended)
			}})
			return h, nil
		}),
		fx.Invoke(func(*host.Host) {}),
	)
}

type hostParts struct {
	fx.In

	Identity   handshake.Identity
	Store      peerstore.Store
	Transports []transport.Transport
	Wires      []handshake.Wire
	Gates      []handshake.Gate     `group:"gates"`
	Tune       []func(*host.Config) `group:"tune"`
	Metrics    metrics
	Log        logger
}

// hostConfig returns the host's settings. A configured 0 means none, where the host's 0 means its default.
func hostConfig(c *Config, m Machine) (host.Config, error) {
	l := c.Limits.Derive(m)
	cfg := host.Config{
		Network: c.Network, Moniker: c.Moniker, Version: c.Version, Observers: orNone(c.Listen.Observers),
		Peers: peers.Config{
			MaxOutbound: orNone(c.Peers.MaxOutbound), MaxInbound: orNone(c.Peers.MaxInbound),
			Guests:           orNone(c.Peers.Guests),
			DialedGuests:     orNone(c.Peers.DialedGuests),
			OutboundPerGroup: orNone(c.Peers.OutboundPerGroup), Anchors: orNone(c.Peers.Anchors),
			Feelers: time.Duration(orNone(c.Peers.FeelerInterval)), Churn: time.Duration(orNone(c.Peers.ChurnInterval)),
			ConnectionsPerIP: l.ConnectionsPerIP, ConnectionsPerGroup: l.ConnectionsPerGroup,
		},
		Handshake: host.HandshakeConfig{
			Timeout: time.Duration(l.HandshakeTimeout),
			Limits: handshake.Limits{Handshakes: l.Handshakes, HandshakesPerIP: l.HandshakesPerIP,
				AttemptsPerIP: l.AttemptsPerIP},
		},
		Limits: host.Limits{MessageMemory: l.MessageMemory, PeerStreams: l.PeerStreams,
			ProtocolStreams: l.ProtocolStreams},
	}
	if c.Peers.PreferQUIC {
		cfg.MoveTo = host.ToQUIC
	}
	var err error
	parse := func(list []string, add func(string) error) {
		for _, s := range list {
			if err == nil {
				err = add(s)
			}
		}
	}
	multiaddrs := func(to *[]ma.Multiaddr) func(string) error {
		return func(s string) error {
			a, err := transport.ParseListen(s)
			*to = append(*to, a)
			return err
		}
	}
	ids := func(to *[]transport.NodeID) func(string) error {
		return func(s string) error {
			id, err := transport.ParseNodeID(s)
			*to = append(*to, id)
			return err
		}
	}
	parse(c.Listen.Addresses, multiaddrs(&cfg.Listen))
	parse(c.Listen.External, multiaddrs(&cfg.External))
	parse(c.Peers.Unconditional, ids(&cfg.Peers.Unconditional))
	parse(c.Peers.Private, ids(&cfg.Peers.Private))
	parse(c.Peers.AllowGuests, ids(&cfg.AllowGuests))
	parse(c.Peers.AllowNetworks, func(s string) error {
		t, err := peerstore.ParseTarget(s)
		cfg.Allow = append(cfg.Allow, t)
		return err
	})
	parse(c.Peers.SharedNetworks, func(s string) error {
		t, err := peerstore.ParseTarget(s)
		cfg.Peers.SharedNetworks = append(cfg.Peers.SharedNetworks, t.Prefix)
		return err
	})
	parse(c.Peers.Persistent, func(s string) error {
		a, err := transport.ParseAddress(s)
		cfg.Peers.Persistent = append(cfg.Peers.Persistent, a)
		return err
	})
	return cfg, err
}

// logLimits logs the limits, with the defaults for those that are 0.
func logLimits(log *slog.Logger, c *Config, cfg host.Config) {
	log.Debug("limits",
		slog.Int("peers.max_outbound", c.Peers.MaxOutbound), slog.Int("peers.max_inbound", c.Peers.MaxInbound),
		slog.Int("peers.guests", c.Peers.Guests), slog.Int("peers.max_known", c.Peers.MaxKnown),
		slog.Int("limits.handshakes", cfg.Handshake.Limits.Handshakes),
		slog.Int("limits.handshakes_per_ip", cfg.Handshake.Limits.HandshakesPerIP),
		slog.Int("limits.attempts_per_ip", cfg.Handshake.Limits.AttemptsPerIP),
		slog.Int("limits.connections_per_ip", cfg.Peers.ConnectionsPerIP),
		slog.Int("limits.connections_per_group", cfg.Peers.ConnectionsPerGroup),
		slog.Duration("limits.handshake_timeout", cfg.Handshake.Timeout),
		slog.Int64("limits.message_memory", cfg.Limits.MessageMemory),
		slog.Int("limits.peer_streams", cfg.Limits.PeerStreams),
		slog.Int("limits.protocol_streams", cfg.Limits.ProtocolStreams))
}

// orNone maps a configured 0, which means none, to the host's negative value.
func orNone[T int | Duration](n T) T {
	if n == 0 {
		return -1
	}
	return n
}

// canListen refuses a listen address that no transport accepts.
func (c *Config) canListen(list []ma.Multiaddr, transports []transport.Transport) error {
next:
	for i, m := range list {
		for _, t := range transports {
			if t.CanDial(m) {
				continue next
			}
		}
		return c.entryError("listen.addresses", fmt.Sprintf("listen.addresses.%d", i),
			"%.120q: no transport of stack.transports listens there (%s)", m, c.Stack.Transports)
	}
	return nil
}

// canDial refuses configured addresses of nodes, our own included, at which no node of this stack can be reached.
func (c *Config) canDial(transports []transport.Transport, wires []handshake.Wire) error {
	for _, l := range []struct {
		key  string
		list []string
	}{{"listen.external", c.Listen.External}, {"peers.persistent", c.Peers.Persistent},
		{"peers.bootstrap", c.Peers.Bootstrap}} {
		err := c.each(l.key, l.list, func(s string) error {
			a, err := transport.ParseAddress(s)
			if err != nil {
				return err
			}
			return handshake.CheckAddress(a, transports, wires)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// listening waits until the host has bound every address. If the host could not, its run is about to end.
func listening(ctx context.Context, h *host.Host, want int, ended <-chan struct{}) error {
	if err := h.WaitListening(ctx); err != nil && ctx.Err() != nil {
		return fmt.Errorf("host: not listening yet: %w", err)
	}
	if len(h.ListenAddrs()) == want {
		return nil
	}
	select {
	case <-ended: // Run returns its error
		return nil
	case <-ctx.Done():
		return errors.New("host: could not listen, and did not say why in time")
	}
}
