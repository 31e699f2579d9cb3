// Package cometpb holds the protocol buffers of CometBFT's peer-to-peer layer. Hot paths (packets, node info,
// SecretConnection) encode and decode by hand; their tests compare them with this package.
package cometpb

//go:generate make -C ../.. generate
