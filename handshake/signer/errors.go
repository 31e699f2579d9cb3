package signer

import (
	"fmt"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// AbsentError reports that the signer did not answer: it cannot be reached, is too busy, or hangs. It may answer later.
type AbsentError struct {
	Signer string // its address
	Why    string // such as "it did not answer within 5s"
	Err    error  // the cause underneath; may be nil
}

func (e *AbsentError) Error() string {
	s := "the signer at " + e.Signer + " is away"
	if e.Why != "" {
		s += ": " + e.Why
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *AbsentError) Unwrap() error { return e.Err }

// RefusedError reports that the signer will not sign this, however often it is asked.
type RefusedError struct {
	Signer  string // its address; "" within the signer
	Purpose handshake.Purpose
	Why     string
}

func (e *RefusedError) Error() string {
	if e.Signer == "" {
		return fmt.Sprintf("refused to sign a %s: %s", e.Purpose, e.Why)
	}
	return fmt.Sprintf("the signer at %s refused to sign a %s: %s", e.Signer, e.Purpose, e.Why)
}

// WrongSignatureError reports that what the signer sent is no signature of the message by the node's key.
type WrongSignatureError struct {
	Signer  string // its address
	Purpose handshake.Purpose
	Key     handshake.PublicKey // the node's, as the signer told it at first
}

func (e *WrongSignatureError) Error() string {
	return fmt.Sprintf("the signer at %s sent a wrong signature of a %s: not by the key of node %s "+
		"(was its key changed? then restart this node)", e.Signer, e.Purpose, e.Key.NodeID())
}
