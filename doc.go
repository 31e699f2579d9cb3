// Package switchyard is a peer-to-peer node for Go programs. One node speaks CometBFT's wire and libp2p's, over TCP and
// QUIC, on one port.
//
// New builds a standard node, Run works until its context ends, and Node.Host has what a program does with it: channels
// of messages, byte streams, peers and events.
//
//	node, err := switchyard.New(ctx, switchyard.Network("my-net"), switchyard.Bootstrap("<node id>@<host>:26656"))
//	if err != nil {
//		return err
//	}
//	hello, err := node.Host().OpenChannel(switchyard.Channel{ID: 0x70, Name: "/hello/1.0.0"})
//	...
//	return node.Run(ctx)
//
// Without options a node makes a new key, listens on free ports over TCP and QUIC, keeps the peers that it learns in
// memory and finds more by asking those it has. The options change that, Tune changes everything else.
//
// To leave parts out, of the node and of the binary, do not call New: make the host from its parts, as the example
// "parts" does. For a program with a configuration file, commands and an admin API, see package modules/cli.
//
// The packages:
//
//   - host: connections, channels, streams; host/peers: whom to dial, accept, keep and evict
//   - transport, handshake, muxer, peerstore, discovery: the contracts, and below each its implementations
//   - modules, modules/standard, modules/cli: the same from a configuration file, assembled with fx
//   - host/hosttest: networks of nodes in memory, under a virtual clock, for tests
package switchyard
