// Package libp2p stands in for the root package of go-libp2p.
package libp2p

import (
	"context"

	real "github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"

	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/suites/hosts"
)

// Option is an option of New.
type Option string

// NoListenAddrs makes a host that only dials.
const NoListenAddrs Option = "no listen addresses"

// New makes a host.
func New(opts ...Option) (host.Host, error) {
	at := hosts.Sockets()
	var theirs []real.Option
	for range opts { // there is only one
		at.Listen = nil
		theirs = append(theirs, real.NoListenAddrs)
	}
	if hosts.Stock() {
		return real.New(theirs...)
	}
	return hosts.New(context.Background(), at)
}
