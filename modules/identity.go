package modules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/signer"
	"github.com/switchyard-p2p/switchyard/internal/stock"
)

// SignerEnv is what a Signer plug-in gets of the configuration.
type SignerEnv struct {
	Address       signer.Address
	CA, Cert, Key string // files of mutual TLS, resolved; "" for a unix socket
	Logger        *slog.Logger
}

// SignerConn is a connection to a signer. Its end closes it.
type SignerConn interface {
	signer.Remote
	io.Closer
}

// Signer lists how a node reaches a signer, such as Signer(dial) around signergrpc.Dial: what identity.signer needs. A
// catalogue without one refuses that key. dial does not wait for the signer.
func Signer(dial func(SignerEnv) (SignerConn, error)) Plugin {
	p := bare(kindSigner, "signer", func(*Config) fx.Option { return fx.Options() })
	p.signer = dial
	return p
}

// OpenSigner returns the identity of identity.signer, which has not asked the signer anything yet. Its end closes it.
func (c *Config) OpenSigner(log *slog.Logger, plugins ...Plugin) (*RemoteIdentity, error) {
	at, err := signer.ParseAddress(c.Identity.Signer)
	if err != nil {
		return nil, c.errorAt("identity.signer", "%v", err)
	}
	p, ok := find(plugins, kindSigner, "signer")
	if !ok {
		return nil, c.errorAt("identity.signer", "this build has no remote signer; use identity.key")
	}
	for _, f := range [][2]string{{"signer_ca", c.Identity.SignerCA}, {"signer_cert", c.Identity.SignerCert},
		{"signer_key", c.Identity.SignerKey}} {
		if err := c.checkCredential("identity."+f[0], f[1]); err != nil {
			return nil, err
		}
	}
	conn, err := p.signer(SignerEnv{Address: at, CA: c.Path(c.Identity.SignerCA), Cert: c.Path(c.Identity.SignerCert),
		Key: c.Path(c.Identity.SignerKey), Logger: log})
	if err != nil {
		return nil, c.errorAt("identity.signer", "%s", oneLine(err.Error()))
	}
	id := signer.New(conn, signer.Config{Signer: at.String(), Logger: log})
	return &RemoteIdentity{Identity: id, conn: conn}, nil
}

// RemoteIdentity is an identity together with its connection to the signer.
type RemoteIdentity struct {
	*signer.Identity
	conn io.Closer
	once sync.Once
}

// Close ends the connection, and all calls. It may be called again.
func (r *RemoteIdentity) Close() (err error) {
	r.once.Do(func() { err = r.conn.Close() })
	return err
}

// checkIdentity refuses what cannot be an identity.
func (c *Config) checkIdentity(plugins []Plugin) error {
	i := &c.Identity
	files := []struct{ key, value string }{{"identity.signer_ca", i.SignerCA}, {"identity.signer_cert", i.SignerCert},
		{"identity.signer_key", i.SignerKey}}
	if i.Signer == "" {
		for _, f := range files {
			if f.value != "" {
				return c.errorAt(f.key, "it is for a signer over TLS, and identity.signer names none")
			}
		}
		if i.Key == "" {
			return c.errorAt("identity.key", "empty; name the node key file, such as \"node_key.json\"")
		}
		return nil
	}
	if _, ok := find(plugins, kindSigner, "signer"); !ok {
		return c.errorAt("identity.signer", "this build has no remote signer; use identity.key")
	}
	at, err := signer.ParseAddress(i.Signer)
	if err != nil {
		return c.errorAt("identity.signer", "%v", err)
	}
	for _, f := range files {
		switch {
		case at.TLS() && f.value == "":
			return c.errorAt(f.key, "empty; a signer over TLS needs identity.signer_ca, signer_cert and signer_key")
		case !at.TLS() && f.value != "":
			return c.errorAt(f.key, "a unix socket needs no certificates: remove it")
		}
	}
	return nil
}

// ending is closed when the program wants the node to stop, also while it is built.
type ending <-chan struct{}

// identity provides the node's identity: the key in the file, or that of a signer, for which it waits.
func identity(c *Config, plugins []Plugin) fx.Option {
	if c.Identity.Signer == "" {
		return fx.Provide(func(log logger) (handshake.Identity, error) { return loadIdentity(c, log.For("identity")) })
	}
	var opened *RemoteIdentity
	return fx.Options(
		fx.ErrorHook(closer(func() { // the signer is reached while the graph is built
			if opened != nil {
				_ = opened.Close()
			}
		})),
		fx.Provide(func(s supervisor, in struct {
			fx.In
			Ending  ending  `optional:"true"`
			Metrics metrics `optional:"true"`
		}) (handshake.Identity, error) {
			log := s.Log.For("identity")
			if _, err := os.Stat(c.Path(c.Identity.Key)); err == nil {
				log.Warn("identity.signer holds the node's key, and there is a key file, too: it is not used; "+
					"keep it out of this machine", slog.String("file", c.Path(c.Identity.Key)))
			}
			id, err := c.OpenSigner(log, plugins...)
			if err != nil {
				return nil, err
			}
			opened = id
			if err := in.Metrics.register(false, &signerCollector{id.Identity}); err != nil {
				return nil, err
			}
			if err := waitForSigner(id.Identity, in.Ending); err != nil {
				return nil, err
			}
			s.add(task{name: "signer", close: id.Close, run: func(ctx context.Context) error {
				<-ctx.Done()
				return nil
			}})
			return id.Identity, nil
		}),
	)
}

// waitForSigner waits until the signer has told its key, or the node is to stop.
func waitForSigner(id *signer.Identity, end ending) error {
	ctx, cancel := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-end:
			cancel()
		case <-ctx.Done():
		}
	})
	err := id.Wait(ctx)
	cancel()
	watch.Wait()
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	return nil
}

// loadIdentity reads the node key, or makes one.
func loadIdentity(c *Config, log *slog.Logger) (handshake.Identity, error) {
	if err := c.CheckKey(); err != nil {
		return nil, err
	}
	path := c.Path(c.Identity.Key)
	key, made, err := stock.NodeKey(path)
	if err != nil {
		return nil, err
	}
	if made {
		log.Info("made a new node key", slog.String("file", path), slog.String("node_id", string(key.ID())))
	}
	if w := key.Warning(); w != nil {
		log.Warn(w.Error())
	}
	return key, nil
}

// signerCollector shows what a remote identity counts.
type signerCollector struct{ id *signer.Identity }

var (
	descSignatures = prometheus.NewDesc("switchyard_signer_signatures_total",
		"Signatures that were asked of the signer, by how that ended.", []string{"outcome"}, nil)
	descWaiting = prometheus.NewDesc("switchyard_signer_waiting", "Calls that wait for the signer.", nil, nil)
)

// Describe implements prometheus.Collector.
func (*signerCollector) Describe(to chan<- *prometheus.Desc) { to <- descSignatures; to <- descWaiting }

// Collect implements prometheus.Collector.
func (s *signerCollector) Collect(to chan<- prometheus.Metric) {
	stats := s.id.Stats()
	for outcome, n := range map[string]uint64{"signed": stats.Signed, "refused": stats.Refused, "absent": stats.Absent,
		"wrong": stats.Wrong} {
		to <- prometheus.MustNewConstMetric(descSignatures, prometheus.CounterValue, float64(n), outcome)
	}
	to <- prometheus.MustNewConstMetric(descWaiting, prometheus.GaugeValue, float64(stats.Waiting))
}

// ErrNoKey reports that a command needs the node's key in a file, and that it is in a signer.
var ErrNoKey = errors.New("the key of this node is in a signer (identity.signer)")
