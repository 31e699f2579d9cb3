// Package mocknet stands in for p2p/net/mock.
package mocknet

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	real "github.com/libp2p/go-libp2p/p2p/net/mock"

	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/suites/hosts"
)

// Mocknet is a network of hosts.
type Mocknet interface {
	Hosts() []host.Host
	ConnectAllButSelf() error
	Close() error
}

// FullMeshLinked makes n hosts that can connect to each other.
func FullMeshLinked(n int) (Mocknet, error) {
	if hosts.Stock() {
		return real.FullMeshLinked(n)
	}
	var all mesh
	for range n {
		h, err := hosts.New(context.Background(), hosts.Sockets())
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all = append(all, h)
	}
	return all, nil
}

// mesh is hosts of ours.
type mesh []host.Host

func (m mesh) Hosts() []host.Host { return m }

func (m mesh) ConnectAllButSelf() error {
	for i, h := range m {
		for _, other := range m[i+1:] {
			err := h.Connect(context.Background(), peer.AddrInfo{ID: other.ID(), Addrs: other.Addrs()})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (m mesh) Close() error {
	var errs []error
	for _, h := range m {
		errs = append(errs, h.Close())
	}
	return errors.Join(errs...)
}
