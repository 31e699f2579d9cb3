// Package golibp2p runs programs that are written for go-libp2p on a Switchyard host: pubsub, Kademlia, bitswap or your
// own. New makes a go-libp2p host.Host of a Switchyard host, and NewHost makes a whole node for a program that called
// libp2p.New. Such programs talk to each other, to other Switchyard nodes over libp2p's wire, and to go-libp2p.
//
// What differs from go-libp2p's own host:
//
//   - A peer has one connection that this end opens streams on. A go-libp2p peer that connects twice is served on both,
//     but Network().ConnsToPeer shows one.
//   - Switchyard's handshake includes identify. A connection is announced when the peer's protocols are known, so
//     Connected is followed by EvtPeerIdentificationCompleted at once.
//   - A peer that is linked over CometBFT's wire has no streams, and is not shown.
//   - The key is ed25519. With a remote signer, Peerstore().PrivKey signs peer records and pubsub messages, and nothing
//     else.
//   - There are no relays, no hole punching and no WebRTC.
package golibp2p
