// Package swarmt stands in for p2p/net/swarm/testing.
package swarmt

import (
	"testing"

	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	real "github.com/libp2p/go-libp2p/p2p/net/swarm/testing"

	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/suites/hosts"
)

// Option is an option of GenSwarm.
type Option = real.Option

// OptDisableReuseport is go-libp2p's.
var OptDisableReuseport = real.OptDisableReuseport

// Swarm is what a host is made of. Stock is nil where it is to be one of ours.
type Swarm struct{ Stock *swarm.Swarm }

// GenSwarm makes a Swarm.
func GenSwarm(t testing.TB, opts ...Option) *Swarm {
	if !hosts.Stock() {
		return &Swarm{}
	}
	return &Swarm{real.GenSwarm(t, opts...)}
}
