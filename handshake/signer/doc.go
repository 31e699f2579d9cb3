// Package signer is an identity that lives elsewhere: the node's key is in another process, which signs what this one
// asks for, and nothing else.
//
//	node                                            signer
//	Identity ── Remote ── (modules/signergrpc) ──── Keeper ── the key
//
// Identity is the node's end, a handshake.Identity. Keeper is the other end. How requests travel between them is
// Remote's business: package modules/signergrpc carries them over a unix socket or mutual TLS. This package pulls in
// neither gRPC nor a framework.
//
// What may be signed is a closed list, handshake.Purpose. A request has a purpose and the part of the message that the
// purpose leaves open, and the Keeper puts the prefix before it: the node cannot choose what the signature is good for
// beyond that list. Messages of libp2p's pubsub are on it only if the Keeper was made with them.
//
// A refusal and an absence are different errors, *RefusedError and *AbsentError, and neither ends the connection to the
// signer. A wrong signature is found here, where each signature is verified once, and is a *WrongSignatureError. All
// name the signer.
//
// While the signer is away, Sign waits for it until its context ends, so a restart of the signer only delays handshakes
// that need a signature. Those over Noise, TLS and QUIC need none: they show proofs that were signed before
// (handshake.Proof). Only SecretConnection needs a signature for each link.
package signer
