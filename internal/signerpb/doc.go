// Package signerpb holds the protocol buffers of the signer (modules/signergrpc).
package signerpb
