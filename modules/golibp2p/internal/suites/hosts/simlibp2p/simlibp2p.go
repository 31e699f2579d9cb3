// Package simlibp2p stands in for x/simlibp2p: networks of hosts in simulated time.
package simlibp2p

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	real "github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"

	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/suites/hosts"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// What go-libp2p's has, too.
type (
	NodeLinkSettingsAndCount = real.NodeLinkSettingsAndCount
	NetworkSettings          = real.NetworkSettings
	BlankHostOpts            = real.BlankHostOpts
	Meta                     = real.SimpleLibp2pNetworkMeta
	LatencyFunc              = real.LatencyFunc
)

// OneMbps is in bits a second.
const OneMbps = real.OneMbps

// Network carries what the hosts send.
type Network interface {
	Start()
	Close()
}

// SimpleLibp2pNetwork makes a network of hosts.
func SimpleLibp2pNetwork(links []NodeLinkSettingsAndCount, latency LatencyFunc, s NetworkSettings) (Network, *Meta,
	error) {
	if hosts.Stock() {
		n, meta, err := real.SimpleLibp2pNetwork(links, latency, s)
		return n, meta, err
	}
	delay := latency(&simnet.Packet{})
	conditions := func(l simnet.NodeBiDiLinkSettings) memory.Conditions {
		return memory.Conditions{Latency: delay, Bandwidth: int64(l.Uplink.BitsPerSecond / 8)}
	}
	meta := &Meta{AddrToNode: map[string]real.HostAndIdx{}}
	network := memory.NewNetwork(memory.Config{})
	for _, l := range links {
		network.SetConditions(conditions(l.LinkSettings)) // all links of a test are alike
		for range l.Count {
			if err := add(network, meta, s); err != nil {
				for _, h := range meta.Nodes {
					_ = h.Close()
				}
				return nil, nil, err
			}
		}
	}
	return inMemory{}, meta, nil
}

// add adds a host of ours.
func add(network *memory.Network, meta *Meta, s NetworkSettings) error {
	index := len(meta.Nodes)
	ip, _ := netip.AddrFromSlice(simnet.IntToPublicIPv4(index).To4())
	addr := fmt.Sprintf("/ip4/%s/tcp/8000", ip)
	at := hosts.Place{Transport: network.NewTransport(memory.HostConfig{IP: ip}), Listen: []string{addr}}
	if s.BlankHostOptsForHostIdx != nil {
		if m := s.BlankHostOptsForHostIdx(index).ConnMgr; m != nil {
			at.ConnManager = m
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h, err := hosts.New(ctx, at)
	if err != nil {
		return err
	}
	meta.Nodes = append(meta.Nodes, h)
	meta.AddrToNode[addr] = real.HostAndIdx{Host: host.Host(h), Idx: index}
	return nil
}

// inMemory is a network that is always there.
type inMemory struct{}

func (inMemory) Start() {}
func (inMemory) Close() {}
