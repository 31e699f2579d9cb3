// Package bhost stands in for p2p/host/basic.
package bhost

import (
	"context"

	"github.com/libp2p/go-libp2p/core/host"
	basic "github.com/libp2p/go-libp2p/p2p/host/basic"

	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/suites/hosts"
	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/suites/hosts/swarmt"
)

// HostOpts are go-libp2p's. Ours has none of them.
type HostOpts = basic.HostOpts

// BasicHost is a host.
type BasicHost struct {
	host.Host
	start func()
}

// NewHost makes a host of a swarm, or one of ours.
func NewHost(s *swarmt.Swarm, opts *HostOpts) (*BasicHost, error) {
	if s.Stock != nil {
		h, err := basic.NewHost(s.Stock, opts)
		if err != nil {
			return nil, err
		}
		return &BasicHost{h, h.Start}, nil
	}
	h, err := hosts.New(context.Background(), hosts.Sockets())
	if err != nil {
		return nil, err
	}
	return &BasicHost{h, func() {}}, nil
}

// Start starts the host. Ours has begun.
func (h *BasicHost) Start() { h.start() }
