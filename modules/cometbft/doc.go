// Package cometbft runs an unmodified CometBFT node over Switchyard: CometBFT's wire to stock nodes, QUIC and libp2p
// between Switchyard nodes, on one port. It is a module of its own, so that other users of Switchyard do not inherit
// CometBFT. The program cmd/cometbft is CometBFT's own command line with this option.
//
//	n, err := node.NewNode(config, privValidator, nodeKey, clientCreator, genesis, db, metrics, logger,
//		cometbft.Option(cometbft.Options{NodeKey: nodeKey}))
//
// The reactors, the RPC and the node hold CometBFT's Switch by its address, so the option overwrites the Switch in
// place with one whose transport is ours. The Switch goes on handing peers and messages to reactors. Which peers there
// are is decided by Switchyard's peer manager, and the Switch's own limits are wide open.
//
// One source serves CometBFT 0.38, 0.40 and 1.0, which share a module path: go.mod has 0.40; go.v038.mod with the tag
// cometbft038, and go.v1.mod with the tag cometbft1, have the others:
//
//	go build -modfile=go.v038.mod -tags cometbft038 ./cmd/cometbft
//
// Its parts: option.go changes the node, life.go starts and stops Switchyard with it, transport.go and peer.go are
// CometBFT's transport and peer over a host, channel.go serves the reactors' channels, settings.go reads both
// configuration files.
package cometbft
