package modules

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"go.uber.org/fx"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// Admin is the module of the admin API, unless admin.address is empty. It needs *host.Host, peerstore.Store and the
// metrics, serves the routes of services, and provides *admin.Server.
func Admin(c Config) fx.Option {
	if c.Admin.Address == "" {
		return fx.Options()
	}
	return fx.Module("admin",
		fx.Provide(func(s supervisor, in adminParts) (*admin.Server, error) {
			log := s.Log.For("admin")
			node := admin.Of(in.Host, in.Store, in.Metrics.Gatherer)
			node.Services = map[string]http.Handler{}
			if in.Reloader != nil {
				node.Settings = in.Reloader
			}
			for _, n := range in.Services {
				if n.value.routes != nil {
					node.Services[n.name] = n.value.routes
				}
				switch {
				case n.value.relay != nil && node.Relay != nil:
					return nil, fmt.Errorf("service %s: another service is the relay of the admin API", n.name)
				case n.value.relay != nil:
					node.Relay = n.value.relay
				}
			}
			cfg := adminConfig(&c)
			if in.Listener != nil {
				cfg.Listener = in.Listener.Listener
			}
			var err error
			if cfg.Token, err = c.adminToken(); err != nil {
				return nil, err
			}
			a, err := admin.New(cfg, node, log)
			if err != nil {
				return nil, err
			}
			s.add(task{name: "admin", run: a.Run, ready: func(ctx context.Context, ended <-chan struct{}) error {
				select {
				case <-a.Listening():
					log.Debug("listening", slog.Any("address", a.Addr()))
					return nil
				case <-ended: // Run returns its error
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}})
			return a, nil
		}),
		fx.Invoke(func(*admin.Server) {}),
	)
}

type adminParts struct {
	fx.In

	Host     *host.Host
	Store    peerstore.Store
	Metrics  metrics
	Services []named[builtService] `group:"services"`
	Reloader *Reloader             `optional:"true"`
	Listener *AdminListener        `optional:"true"`
}

// AdminListener is where the admin API is served, in place of admin.address, if a program supplies one: a socket that a
// service manager has passed. The API closes it.
type AdminListener struct{ net.Listener }

func adminConfig(c *Config) admin.Config {
	a := admin.Config{Address: c.Admin.Address, Version: c.Version, Profile: c.Admin.Pprof,
		Protect: admin.Protect(c.Admin.Protect), TokenFile: c.Path(admin.TokenName), Group: c.Admin.Group,
		InsecureRemote: c.Admin.InsecureRemote, Files: openFiles()}
	if c.Admin.SocketMode == "0660" {
		a.SocketMode = 0o660
	}
	return a
}

// AdminClient returns a client of the admin API of a node with this configuration. It sends the token in the home.
func (c Config) AdminClient() (*admin.Client, error) {
	return admin.NewClient(c.Admin.Address, admin.WithTokenFile(c.Path(admin.TokenName)))
}
