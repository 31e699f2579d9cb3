// Package signergrpc carries the requests of handshake/signer over gRPC: Client is a signer.Remote for the node, Server
// serves a signer.Keeper. Only this package imports gRPC, and only modules/ and cmd/ import it, so that programs
// without a signer do not link it. It needs neither fx nor a configuration.
//
// A connection is a unix socket, whose ends check each other's user id, or TLS 1.3 in which both ends show a
// certificate of one authority. There is no plain TCP. One connection carries all calls at once, each with a deadline
// of its own. Calls are never made again by gRPC, and do not wait for a connection; the Client connects again at most
// 240 ms after a failure.
//
// The messages are in internal/signerpb/signer.proto.
package signergrpc
