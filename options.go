package switchyard

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/stock"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/badger"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/quic"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// Option is an option of New. Where two set the same, the later one holds.
type Option func(*options) error

// options is what New builds a node from.
type options struct {
	host      host.Config
	listens   bool // Listen was given
	keyFile   string
	storePath string
	bootstrap []transport.Address
	sources   []sourceOption
	tune      []func(*host.Config)
}

type sourceOption struct {
	name  string
	build func(discovery.Env) (discovery.Source, error)
}

// Network names the node's network. Nodes of other networks are refused. The default is "switchyard".
func Network(name string) Option { return set(func(o *options) { o.host.Network = name }) }

// Moniker is the node's name for people. The default is "switchyard".
func Moniker(name string) Option { return set(func(o *options) { o.host.Moniker = name }) }

// Logger is where the node logs. Without it the node does not.
func Logger(log *slog.Logger) Option { return set(func(o *options) { o.host.Logger = log }) }

// Metrics is where the node registers its metrics, until the end of Run. Without it the node counts, but shows nothing.
// Nodes that share a registry need a label each (prometheus.WrapRegistererWith).
func Metrics(registry prometheus.Registerer) Option {
	return set(func(o *options) { o.host.Metrics = registry })
}

// Info fills in the node info that peers see, before each handshake: versions, TxIndex, RPCAddress and more. See
// host.Config.Info.
func Info(fill func(*handshake.NodeInfo)) Option { return set(func(o *options) { o.host.Info = fill }) }

// defaultListen is a free port on all IPv4 interfaces.
var defaultListen = [...]string{"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"}

// Listen is where the node listens: multiaddrs such as /ip4/0.0.0.0/tcp/26656 and /ip4/0.0.0.0/udp/26656/quic-v1. The
// default is a free port for each transport, on all IPv4 interfaces. Listen() makes a node that only dials.
func Listen(addresses ...string) Option {
	return func(o *options) error {
		o.host.Listen, o.listens = nil, true
		for _, text := range addresses {
			a, err := transport.ParseListen(text)
			if err != nil {
				return fmt.Errorf("listen: %w", err)
			}
			o.host.Listen = append(o.host.Listen, a)
		}
		return nil
	}
}

// KeyFile holds the node's key, in the form of CometBFT's node_key.json. New makes the file where there is none, and
// the file of a random key for QUIC beside it (quic.Env.ResetKey).
// Without it and without Identity, each New makes a key that is not kept.
func KeyFile(path string) Option { return set(func(o *options) { o.keyFile = path }) }

// Identity signs for the node, instead of a key file. Its key may be in another process: see handshake/signer.
func Identity(id handshake.Identity) Option { return set(func(o *options) { o.host.Identity = id }) }

// Store keeps the peers that the node knows in a folder, so that it finds them again after a restart. The folder is
// made where there is none. Without it the node keeps them in memory.
func Store(path string) Option { return set(func(o *options) { o.storePath = path }) }

// Persistent peers are always redialed, and no limit refuses them. An address names its node: id@host:port,
// /ip4/1.2.3.4/tcp/26656/p2p/ID or /ip4/1.2.3.4/udp/26656/quic-v1/p2p/ID.
func Persistent(addresses ...string) Option {
	return func(o *options) (err error) {
		o.host.Peers.Persistent, err = parse("persistent", addresses)
		return err
	}
}

// Bootstrap peers are the first that the node tries, to find others through them. Their addresses are written as those
// of Persistent.
func Bootstrap(addresses ...string) Option {
	return func(o *options) (err error) {
		o.bootstrap, err = parse("bootstrap", addresses)
		return err
	}
}

// Transports replaces TCP and QUIC, in order of preference. The node closes them.
func Transports(list ...transport.Transport) Option {
	return set(func(o *options) { o.host.Transports = list })
}

// Wires replaces CometBFT's and libp2p's, in order of preference.
func Wires(list ...handshake.Wire) Option { return set(func(o *options) { o.host.Wires = list }) }

// Source adds a source of peers, such as Source("static", ...), to peer exchange, whose name is "pex". It replaces a
// source of the same name; a nil build removes it.
func Source(name string, build func(discovery.Env) (discovery.Source, error)) Option {
	return set(func(o *options) {
		o.sources = slices.DeleteFunc(o.sources, func(s sourceOption) bool { return s.name == name })
		if build != nil {
			o.sources = append(o.sources, sourceOption{name, build})
		}
	})
}

// Tune changes any setting of the host, after all other options: limits, gates, metrics, addresses to advertise.
func Tune(change func(*host.Config)) Option {
	return set(func(o *options) { o.tune = append(o.tune, change) })
}

func set(change func(*options)) Option {
	return func(o *options) error {
		change(o)
		return nil
	}
}

func parse(what string, texts []string) ([]transport.Address, error) {
	var list []transport.Address
	for _, text := range texts {
		a, err := transport.ParseAddress(text)
		if err == nil && a.ID() == "" {
			err = fmt.Errorf("%.200q names no node: put its id before an @, or /mconn/ID or /p2p/ID at the end", text)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		list = append(list, a)
	}
	return list, nil
}

// New builds a node. It listens and dials only in Run; a node that never runs must be closed. ctx bounds New alone.
func New(ctx context.Context, opts ...Option) (*Node, error) {
	o := options{host: host.Config{Network: "switchyard", MoveTo: host.ToQUIC}}
	o.sources = []sourceOption{{"pex", func(env discovery.Env) (discovery.Source, error) {
		return pex.New(pex.Default(), env)
	}}}
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, fmt.Errorf("switchyard: %w", err)
		}
	}
	n, err := o.node(ctx)
	if err != nil {
		return nil, fmt.Errorf("switchyard: %w", err)
	}
	return n, nil
}

// node builds a node from the options.
func (o *options) node(ctx context.Context) (n *Node, err error) {
	cfg := &o.host
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Identity == nil {
		if cfg.Identity, err = o.key(); err != nil {
			return nil, err
		}
	}
	proofs, err := o.addStack()
	if err != nil {
		return nil, err
	}
	if !o.listens {
		if err := listenEverywhere(cfg); err != nil {
			return nil, err
		}
	}
	for _, change := range o.tune {
		change(cfg)
	}
	if cfg.Store == nil {
		if cfg.Store, err = o.openStore(); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			_ = cfg.Store.Close()
		}
	}()
	n = &Node{store: cfg.Store, log: cfg.Logger, transports: cfg.Transports, identity: cfg.Identity, proofs: proofs,
		done: make(chan struct{})}
	if n.host, err = host.New(ctx, *cfg); err != nil {
		return nil, err
	}
	for _, s := range o.sources {
		env := discovery.Env{Logger: cfg.Logger.With(slog.String("part", s.name)), OpenChannel: n.host.OpenChannel,
			CheckAddress: n.host.CheckAddress}
		source, err := s.build(env)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", s.name, err)
		}
		n.sources = append(n.sources, namedSource{s.name, source})
	}
	for _, a := range cfg.Peers.Persistent {
		if err := n.host.CheckAddress(a); err != nil {
			return nil, fmt.Errorf("persistent: %w", err)
		}
	}
	for _, a := range o.bootstrap {
		if err := n.host.CheckAddress(a); err != nil {
			return nil, fmt.Errorf("bootstrap: %w", err)
		}
		n.host.PeerManager().Add(a, peerstore.Source{Kind: "config"})
	}
	return n, nil
}

// key reads the key file or makes a key.
func (o *options) key() (handshake.Identity, error) {
	if o.keyFile == "" {
		return handshake.GenerateNodeKey()
	}
	key, _, err := stock.NodeKey(o.keyFile)
	if err != nil {
		return nil, err
	}
	if w := key.Warning(); w != nil {
		o.host.Logger.Warn(w.Error())
	}
	return key, nil
}

func (o *options) openStore() (peerstore.Store, error) {
	if o.storePath == "" {
		return memory.New(peerstore.Limits{}), nil
	}
	log := o.host.Logger.With(slog.String("part", "store"))
	s, err := badger.Open(o.storePath, badger.Options{Logger: log})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return s, nil
}

// addStack adds the standard transports and wires where the options name none. It returns the securities in them.
func (o *options) addStack() (proofs []handshake.Security, err error) {
	cfg := &o.host
	id, log := cfg.Identity, cfg.Logger
	withTLS, err := stock.TLS(stock.DefaultTLS())
	if err != nil {
		return nil, err
	}
	if cfg.Transports == nil || cfg.Wires == nil {
		proofs = append(proofs, withTLS)
	}
	if cfg.Transports == nil {
		tcp, err := stock.TCP(tcp.Config{})
		if err != nil {
			return nil, err
		}
		var reset *[stock.ResetKeySize]byte
		if o.keyFile != "" {
			reset = stock.ResetKey(filepath.Join(filepath.Dir(o.keyFile), stock.ResetKeyFile), log)
		}
		quic, err := stock.QUIC(quic.Config{}, 0, id, withTLS, reset, log)
		if err != nil {
			return nil, err
		}
		cfg.Transports = []transport.Transport{tcp, quic}
	}
	if cfg.Wires == nil {
		noise, err := stock.Noise(struct{}{})
		if err != nil {
			return nil, err
		}
		yamux, err := stock.Yamux(yamux.Config{}, 0, log)
		if err != nil {
			return nil, err
		}
		comet, err := stock.Comet(mconn.Config{}, 0, id, log)
		if err != nil {
			return nil, err
		}
		proofs = append(proofs, noise)
		libp2p, err := stock.Libp2p(stock.Libp2pConfig{}, 0, id,
			[]handshake.Security{noise, withTLS}, []muxer.StreamMuxer{yamux}, log)
		if err != nil {
			return nil, err
		}
		cfg.Wires = []handshake.Wire{comet, libp2p}
	}
	return proofs, nil
}

// listenEverywhere adds those default listen addresses that a transport takes.
func listenEverywhere(cfg *host.Config) error {
	for _, text := range defaultListen {
		a, err := transport.ParseListen(text)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(cfg.Transports, func(t transport.Transport) bool { return t.CanDial(a) }) {
			cfg.Listen = append(cfg.Listen, a)
		}
	}
	return nil
}
