package hosts

import (
	"context"
	"fmt"
	"os"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"

	corehost "github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/modules/golibp2p"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Place is where a host is. The zero Place has sockets and does not listen.
type Place struct {
	Transport transport.Transport // in place of sockets
	Listen    []string
	// ConnManager is what the test watches; nil means ours.
	ConnManager connmgr.ConnManager
}

// The addresses of Sockets.
const (
	tcp  = "/ip4/127.0.0.1/tcp/0"
	quic = "/ip4/127.0.0.1/udp/0/quic-v1"
)

// Sockets is on free ports of the loopback interface.
func Sockets() Place {
	switch Variant() {
	case "all":
		return Place{Listen: []string{tcp, quic}}
	case "quic":
		return Place{Listen: []string{quic}}
	}
	return Place{Listen: []string{tcp}}
}

// New makes a host of ours.
func New(ctx context.Context, at Place) (host.Host, error) {
	cfg := golibp2p.Config{Listen: at.Listen, Transports: []string{"tcp"}}
	if cfg.Listen == nil {
		cfg.Listen = []string{}
	}
	switch v := Variant(); v {
	case "noise", "tls":
		cfg.Security = []string{v}
	case "quic":
		cfg.Transports = []string{"quic"}
	case "all":
		cfg.Transports = []string{"tcp", "quic"}
	default:
		return nil, fmt.Errorf("there is no variant %q", v)
	}
	if at.Transport != nil {
		cfg.Tune = func(c *corehost.Config) { c.Transports = []transport.Transport{at.Transport} }
	}
	if at.ConnManager != nil {
		cfg.Options = append(cfg.Options, golibp2p.ConnManager(at.ConnManager))
	}
	h, err := golibp2p.NewHost(ctx, cfg)
	if err == nil {
		count(h)
	}
	return h, err
}

// count writes a word for each link to the file that SUITES_LINKS names.
func count(h host.Host) {
	file := os.Getenv("SUITES_LINKS")
	if file == "" {
		return
	}
	h.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return
		}
		defer f.Close()
		fmt.Fprintln(f, carrier(c.RemoteMultiaddr()))
	}})
}

// carrier returns which transport an address is of.
func carrier(addr ma.Multiaddr) string {
	for _, c := range addr {
		switch c.Code() {
		case ma.P_QUIC_V1, ma.P_TCP:
			return c.Protocol().Name
		}
	}
	return "other"
}
