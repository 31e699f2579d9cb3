// Package static is the simplest source of peers: a list of addresses that the configuration names. It is also the model for a
// source of your own.
package static

import (
	"context"
	"fmt"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Config lists the peers. The zero Config lists none.
type Config struct {
	// Addresses, each in one of the forms that transport.ParseAddress reads. Each names the node that is expected there.
	Addresses []string `toml:"addresses"`
}

// Default lists no peers.
func Default() Config { return Config{} }

// New reads the addresses. Its error names the first that is not one.
func New(cfg Config, _ discovery.Env) (discovery.Source, error) {
	s := &source{}
	for i, text := range cfg.Addresses {
		a, err := transport.ParseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("discovery static: addresses[%d]: %w", i, err)
		}
		if a.ID() == "" {
			return nil, fmt.Errorf("discovery static: addresses[%d]: %q names no node: put its id before an @, or /mconn/ID or /p2p/ID at the end", i, text)
		}
		s.addresses = append(s.addresses, a)
	}
	return s, nil
}

type source struct{ addresses []transport.Address }

// Run hands the addresses over, then waits until ctx ends: what is known stays known, and retries are the host's.
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
