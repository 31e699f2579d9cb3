package signer

import (
	"context"
	"slices"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// Remote is a connection to a signer. It connects by itself, again and again. Its methods are called concurrently; a
// call that hangs must not hold up another. They return when ctx ends.
type Remote interface {
	// Describe asks the signer who it is.
	Describe(ctx context.Context) (Description, error)
	// Sign asks for one signature. It does not wait for a connection: without one it fails. Errors are *AbsentError and
	// *RefusedError; Identity fills in the signer's name and the purpose.
	Sign(ctx context.Context, r Request) ([]byte, error)
	// Ready waits until there is a connection.
	Ready(ctx context.Context) error
}

// Request asks for one signature.
type Request struct {
	Purpose handshake.Purpose
	// Body is the part of the message that the purpose leaves open (handshake.Purpose.Body).
	Body []byte
}

// Description is who a signer is.
type Description struct {
	Key     handshake.PublicKey
	Allowed []handshake.Purpose
}

// allows reports whether the signer signs for p.
func (d Description) allows(p handshake.Purpose) bool { return slices.Contains(d.Allowed, p) }
