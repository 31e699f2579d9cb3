// Package static is the simplest peer source: a list of addresses from the configuration. It is also a model for
// sources of your own.
package static

import (
	"context"
	"fmt"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Config lists the peers. The zero Config lists none.
type Config struct {
	// Addresses are parsed by transport.ParseAddress. Each must name the node that is expected there.
	Addresses []string `toml:"addresses"`
}

// Default lists no peers.
func Default() Config { return Config{} }

// New parses the addresses. Its error names the first invalid one.
func New(cfg Config, env discovery.Env) (discovery.Source, error) {
	s := &source{}
	for i, text := range cfg.Addresses {
		a, err := transport.ParseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("discovery static: addresses[%d]: %w", i, err)
		}
		if a.ID() == "" {
			return nil, fmt.Errorf("discovery static: addresses[%d]: %q names no node: put its id before an @, or "+
				"/mconn/ID or /p2p/ID at the end", i, text)
		}
		if env.CheckAddress != nil {
			if err := env.CheckAddress(a); err != nil {
				return nil, fmt.Errorf("discovery static: addresses[%d]: %w", i, err)
			}
		}
		s.addresses = append(s.addresses, a)
	}
	return s, nil
}

type source struct{ addresses []transport.Address }

// Run passes the addresses to found and waits until ctx ends. The host retries them.
func (s *source) Run(ctx context.Context, _ discovery.Network, found func(transport.Address, transport.NodeID)) error {
	for _, a := range s.addresses {
		if ctx.Err() != nil {
			break
		}
		found(a, "")
	}
	<-ctx.Done()
	return nil
}
