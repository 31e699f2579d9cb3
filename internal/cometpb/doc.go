// Package cometpb holds the protocol buffers of CometBFT's peer-to-peer layer. Hot paths (packets, node info, the SecretConnection) encode
// and decode by hand; their tests check themselves against this package.
package cometpb

//go:generate make -C ../.. generate
