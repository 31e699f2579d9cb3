package golibp2p

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"log/slog"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/internal/stock"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/quic"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// Config is what NewHost makes a node of. The zero value works.
type Config struct {
	// Key is the node's key, an ed25519 one. Identity signs instead of it, such as a remote signer. Without both, each
	// NewHost makes a key that is not kept.
	Key      crypto.PrivKey
	Identity handshake.Identity
	// Listen are the multiaddrs to listen on. nil means a free port for each transport, on all IPv4 interfaces; an
	// empty list only dials.
	Listen []string
	// Network is the name that other Switchyard nodes must have too; "" means "libp2p". go-libp2p peers have none.
	Network   string
	UserAgent string // told to peers; "" means "switchyard"

	Transports []string // of "tcp" and "quic", in order of preference; nil means both
	Security   []string // of "noise" and "tls", in order of preference, over TCP; nil means both

	Gater   connmgr.ConnectionGater // nil lets everything through
	Options []Option                // of the adapter
	Tune    func(*host.Config)      // changes any setting of the host at last; nil changes nothing
	Logger  *slog.Logger            // nil discards
}

// defaultListen is where NewHost listens by default.
var defaultListen = map[string]string{"tcp": "/ip4/0.0.0.0/tcp/0", "quic": "/ip4/0.0.0.0/udp/0/quic-v1"}

// What the host of a go-libp2p program allows, instead of a Switchyard node's own. Such a program decides itself whom
// to dial and when to hang up.
const (
	mostPeers       = 1 << 16
	mostPerIP       = 1 << 10
	mostAttempts    = 1 << 12 // in 10 s from one IP
	mostPeerStreams = 1 << 13
	// mostKnown peers are kept in the host's own book, from which it chooses nobody to dial. The book of a Switchyard
	// node, of 100,000 peers, takes 100 kB while it is empty.
	mostKnown = 1 << 13
)

// identity fills in Key and Identity.
func (c *Config) identity() error {
	if c.Identity != nil {
		return nil
	}
	if c.Key == nil {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			return err
		}
		c.Key = key
	}
	id, err := identityOf(c.Key)
	c.Identity = id
	return err
}

// host returns the settings of the host, without its store, and the securities whose proofs are to be kept fresh.
func (c *Config) host() (host.Config, []handshake.Security, error) {
	log := cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	cfg := host.Config{
		Network: cmp.Or(c.Network, "libp2p"), Version: c.UserAgent, Identity: c.Identity, Logger: log,
		Peers: peers.Config{MaxOutbound: -1, MaxInbound: mostPeers, Guests: mostPeers, MaxUpgrades: -1,
			OutboundPerGroup: -1, Anchors: -1, Feelers: -1, Churn: -1, DialRate: -1, ConnectionsPerIP: mostPerIP,
			ConnectionsPerGroup: mostPeers},
		Handshake: host.HandshakeConfig{Limits: handshake.Limits{HandshakesPerIP: mostPerIP,
			Handshakes: mostPerIP, AttemptsPerIP: mostAttempts}},
		Limits: host.Limits{PeerStreams: mostPeerStreams, ProtocolStreams: mostPeerStreams},
	}
	proofs, err := c.stack(&cfg, log)
	if err != nil {
		return cfg, nil, err
	}
	texts := c.Listen
	if texts == nil {
		for _, t := range cfg.Transports {
			texts = append(texts, defaultListen[t.Name()])
		}
	}
	for _, text := range texts {
		m, err := transport.ParseListen(text)
		if err != nil {
			return cfg, nil, fmt.Errorf("listen: %w", err)
		}
		cfg.Listen = append(cfg.Listen, m)
	}
	if c.Gater != nil {
		cfg.Gates = append(cfg.Gates, Gate(c.Gater))
	}
	if c.Tune != nil {
		c.Tune(&cfg)
	}
	return cfg, proofs, nil
}

// stack adds transports and libp2p's wire.
func (c *Config) stack(cfg *host.Config, log *slog.Logger) (proofs []handshake.Security, err error) {
	withTLS, err := stock.TLS(stock.DefaultTLS())
	if err != nil {
		return nil, err
	}
	proofs = append(proofs, withTLS)
	transports, securities := c.Transports, c.Security
	if transports == nil {
		transports = []string{"tcp", "quic"}
	}
	if securities == nil {
		securities = []string{"noise", "tls"}
	}
	for _, name := range transports {
		var t transport.Transport
		switch name {
		case "tcp":
			t, err = stock.TCP(tcp.Config{})
		case "quic":
			t, err = stock.QUIC(quic.Config{}, 0, c.Identity, withTLS, nil, log)
		default:
			err = fmt.Errorf("transport %q: there are tcp and quic", name)
		}
		if err != nil {
			return nil, err
		}
		cfg.Transports = append(cfg.Transports, t)
	}
	var offered []handshake.Security
	for _, name := range securities {
		switch name {
		case "noise":
			noise, err := stock.Noise(struct{}{})
			if err != nil {
				return nil, err
			}
			proofs = append(proofs, noise)
			offered = append(offered, noise)
		case "tls":
			offered = append(offered, withTLS)
		default:
			return nil, fmt.Errorf("security %q: there are noise and tls", name)
		}
	}
	mux, err := stock.Yamux(yamux.Config{}, 0, log)
	if err != nil {
		return nil, err
	}
	wire, err := stock.Libp2p(stock.Libp2pConfig{}, 0, c.Identity, offered, []muxer.StreamMuxer{mux}, log)
	if err != nil {
		return nil, err
	}
	cfg.Wires = []handshake.Wire{wire}
	return proofs, nil
}
