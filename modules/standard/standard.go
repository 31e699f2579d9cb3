// Package standard lists the plug-ins of the switchyard binary, for a main that wants all of them and its own:
//
//	cli.Main(modules.With(standard.Plugins(), modules.Service("greeter", greeter.Default, greeter.New))...)
package standard

import (
	"errors"
	"path/filepath"

	"github.com/switchyard-p2p/switchyard/discovery/dns"
	"github.com/switchyard-p2p/switchyard/discovery/file"
	"github.com/switchyard-p2p/switchyard/discovery/http"
	"github.com/switchyard-p2p/switchyard/discovery/mdns"
	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/discovery/static"
	"github.com/switchyard-p2p/switchyard/handshake/comet"
	"github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/host/echo"
	"github.com/switchyard-p2p/switchyard/host/nat"
	"github.com/switchyard-p2p/switchyard/internal/stock"
	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/chain"
	"github.com/switchyard-p2p/switchyard/modules/signergrpc"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport/quic"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// Plugins returns the stock plug-ins, a new list at each call. modules.With replaces some of them by name and adds
// others, modules.Without leaves some out.
func Plugins() []modules.Plugin {
	return []modules.Plugin{
		modules.Transport("tcp", zero[tcp.Config], stock.TCP),
		modules.SecureTransport("quic", zero[quic.Config], newQUIC),
		modules.Wire("comet", zero[mconn.Config], newComet),
		modules.StreamWire("libp2p", zero[stock.Libp2pConfig], newLibp2p),
		modules.Security("noise", zero[struct{}], stock.Noise),
		modules.Security("tls", stock.DefaultTLS, stock.TLS),
		modules.Muxer("yamux", zero[yamux.Config], newYamux),
		modules.Discovery("pex", pex.Default, pex.New),
		modules.Discovery("static", static.Default, static.New),
		modules.Discovery("dns", dns.Default, dns.New),
		modules.Discovery("file", file.Default, file.New),
		modules.Discovery("http", http.Default, http.New),
		modules.Discovery("mdns", mdns.Default, mdns.New),
		modules.Signer(dialSigner),
		modules.Service("echo", zero[echo.Config], stock.Echo),
		relayPlugin(),
		chain.Plugin(),
		modules.Service("nat", nat.Default, nat.New),
		autonatPlugin(),
	}
}

// zero returns the defaults of a Config whose zero value has them.
func zero[C any]() (c C) { return c }

func newQUIC(cfg quic.Config, env modules.TransportEnv) (*quic.Transport, error) {
	secure, err := env.Security("tls")
	if err != nil {
		return nil, err
	}
	withTLS, ok := secure.(*tls.Security)
	if !ok {
		return nil, errors.New("the plug-in of the security tls was replaced: replace that of the transport quic, too")
	}
	var reset *[stock.ResetKeySize]byte
	if env.Home != "" {
		reset = stock.ResetKey(filepath.Join(env.Home, stock.ResetKeyFile), env.Logger)
	}
	return stock.QUIC(cfg, env.MessageMemory, env.Identity, withTLS, reset, env.Logger)
}

func dialSigner(env modules.SignerEnv) (modules.SignerConn, error) {
	return signergrpc.Dial(signergrpc.ClientConfig{Address: env.Address,
		TLS: signergrpc.TLSFiles{CA: env.CA, Cert: env.Cert, Key: env.Key}, Logger: env.Logger})
}

func newLibp2p(cfg stock.Libp2pConfig, env modules.WireEnv) (*libp2p.Wire, error) {
	return stock.Libp2p(cfg, env.MessageMemory, env.Identity, env.Securities, env.Muxers, env.Logger)
}

func newComet(cfg mconn.Config, env modules.WireEnv) (*comet.Wire, error) {
	return stock.Comet(cfg, env.MessageMemory, env.Identity, env.Logger)
}

func newYamux(cfg yamux.Config, env modules.MuxerEnv) (*yamux.Muxer, error) {
	return stock.Yamux(cfg, env.MessageMemory, env.Logger)
}
