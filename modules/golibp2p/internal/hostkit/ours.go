package hostkit

import (
	"context"

	"github.com/libp2p/go-libp2p/core/host"

	"github.com/switchyard-p2p/switchyard/modules/golibp2p"
)

// Ours makes a host of package golibp2p.
func Ours(o Options) (host.Host, error) {
	cfg := golibp2p.Config{Key: o.Key, Listen: o.listen()}
	switch o.Via {
	case Noise, TLS:
		cfg.Transports, cfg.Security = []string{"tcp"}, []string{string(o.Via)}
	case QUIC:
		cfg.Transports = []string{"quic"}
	}
	return golibp2p.NewHost(context.Background(), cfg)
}
