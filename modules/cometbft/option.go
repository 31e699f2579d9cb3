package cometbft

import (
	"errors"
	"fmt"

	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/libs/service"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"

	"github.com/switchyard-p2p/switchyard/modules"
	"github.com/switchyard-p2p/switchyard/modules/standard"
)

// Options are what a program may choose. The zero value works for a node whose key is in its home.
type Options struct {
	// NodeKey is the key that the node was made with; nil reads the node key file that config.toml names.
	NodeKey *p2p.NodeKey
	// Plugins is the catalogue of transports, wires and sources of peers; nil means standard.Plugins.
	Plugins []modules.Plugin
	// Configure changes the settings that were read from config.toml and switchyard.toml, before they are checked.
	Configure func(*modules.Config)
	// Failed is called when Switchyard has ended while the node ran, and why, once the node has stopped for it. A
	// program exits then. nil does nothing; the log has the error.
	Failed func(error)
}

// errLibp2pMode says that there is no Switch to take over.
var errLibp2pMode = errors.New("p2p.libp2p.enabled: the node runs CometBFT's own libp2p mode, which Switchyard " +
	"cannot replace; set it to false (Switchyard speaks with nodes in that mode all the same)")

// Option makes a node use Switchyard. List it after options that add reactors or not: what matters is which reactors
// there are when the node starts. An option cannot return an error, so that of a node that cannot be changed comes from
// its Start.
func Option(o Options) node.Option {
	return func(n *node.Node) { change(n, o) }
}

// change makes a node use Switchyard. It returns what starts and stops the node from now on.
func change(n *node.Node, o Options) *nodeLife {
	life := &nodeLife{Node: n}
	if sw, ok := any(n.Switch()).(*p2p.Switch); ok {
		life.yard, life.err = replace(sw, parts{Options: o, config: n.Config(), query: n.ProxyApp().Query()})
	} else {
		life.err = errLibp2pMode
	}
	if y := life.yard; y != nil {
		y.failed = life.fail
	}
	n.BaseService = *service.NewBaseService(n.Logger, "Node", life)
	return life
}

// parts are what a yard needs of its node.
type parts struct {
	Options
	config *config.Config
	query  query
}

// pexReactor is the name of CometBFT's peer exchange, which Switchyard's own replaces.
const pexReactor = "PEX"

// replace overwrites a Switch that has not started with one over Switchyard.
func replace(sw *p2p.Switch, in parts) (*yard, error) {
	if sw.IsRunning() {
		return nil, errors.New("switchyard: the Switch runs already")
	}
	info, ok := sw.NodeInfo().(p2p.DefaultNodeInfo)
	if !ok {
		return nil, fmt.Errorf("switchyard: the Switch's node info is a %T, not p2p.DefaultNodeInfo", sw.NodeInfo())
	}
	if in.Plugins == nil {
		in.Plugins = standard.Plugins()
	}
	y := newYard(sw, in, info)

	// Switchyard decides on peers; the Switch refuses none. Its MaxNumOutboundPeers stays, as reactors read it.
	settings := *in.config.P2P
	settings.MaxNumInboundPeers = 1 << 30
	settings.AllowDuplicateIP = true
	reactors := sw.Reactors()
	persistent := split(in.config.P2P.PersistentPeers)
	unconditional := split(in.config.P2P.UnconditionalPeerIDs)
	y.metrics = metricsOf(sw)
	*sw = *p2p.NewSwitch(&settings, wrap(p2p.Transport.Accept, y), p2p.WithMetrics(y.metrics))
	sw.BaseService = *service.NewBaseService(y.logger, "P2P Switch", &switchLife{sw, y})
	sw.SetNodeInfo(info)
	sw.SetAddrBook(book{y})
	if err := sw.AddPersistentPeers(persistent); err != nil {
		return nil, fmt.Errorf("p2p.persistent_peers: %w", err)
	}
	if err := sw.AddUnconditionalPeerIDs(unconditional); err != nil {
		return nil, fmt.Errorf("p2p.unconditional_peer_ids: %w", err)
	}
	for name, r := range reactors {
		if name != pexReactor {
			sw.AddReactor(name, r)
		}
	}
	return y, nil
}
