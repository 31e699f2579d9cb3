package muxer

import (
	"fmt"
	"net"
)

// Code says why a link ended or was refused. Its number travels on wires that can carry one (the hello and the close
// frame between Switchyard nodes), so numbers are never reused.
type Code uint16

const (
	CodeUnknown       Code = 0
	CodeShuttingDown  Code = 1  // the node stops
	CodeRequested     Code = 2  // an operator or a service asked for it
	CodeTooManyPeers  Code = 3  // a connection limit is reached
	CodeDuplicate     Code = 4  // the peer has another link
	CodeBanned        Code = 5  // node id, IP or network is banned
	CodeWrongNetwork  Code = 6  // the remote belongs to another network
	CodeWrongID       Code = 7  // the remote's key is not the one that was expected
	CodeSelf          Code = 8  // we reached ourselves
	CodeIncompatible  Code = 9  // no common channel, protocol version or muxer
	CodeProtocolError Code = 10 // the remote broke the protocol
	CodeAuthFailed    Code = 11 // the secure handshake failed
	CodeInvalidInfo   Code = 12 // the remote's node info is invalid
	CodeTimeout       Code = 13 // a deadline passed
	CodeIdle          Code = 14 // no answer to keep-alives
	CodeTooManyStarts Code = 15 // a handshake budget is spent (global, or of the remote's IP)
	CodeFiltered      Code = 16 // an application's filter said no
	CodeEvicted       Code = 17 // a better peer took the slot
	CodeMessageTooBig Code = 18 // a message was over its channel's limit
	CodeOverflow      Code = 19 // an inbox whose overflow policy is Disconnect ran full
	CodeMisbehaved    Code = 20 // a service reported the peer
	CodeTransport     Code = 21 // the connection failed underneath us
	CodeRemoteClosed  Code = 22 // the remote hung up without a reason
	CodeWrongChannel  Code = 23 // a message for a channel that we did not offer
	CodeInquiryDone   Code = 24 // the visit was only an inquiry (a seed answered, a crawler has what it wanted)
	CodeMoved         Code = 25 // another link of the peer has taken over, without a gap
	CodeNoSignature   Code = 26 // our own identity did not sign (its signer is away, hangs or refuses)
)

var codeNames = [...]string{"unknown", "shutting-down", "requested", "too-many-peers", "duplicate", "banned",
	"wrong-network", "wrong-id",
	"self", "incompatible", "protocol-error", "auth-failed", "invalid-info", "timeout", "idle", "too-many-handshakes",
	"filtered", "evicted",
	"message-too-big", "overflow", "misbehaved", "transport", "remote-closed", "wrong-channel", "inquiry-done",
	"moved", "no-signature"}

func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code-%d", uint16(c))
}

// Orderly reports whether a session that ends with this code first sends what is queued: the remote did nothing wrong,
// and the connection works.
func (c Code) Orderly() bool {
	switch c {
	case CodeShuttingDown, CodeRequested, CodeTooManyPeers, CodeDuplicate, CodeSelf, CodeFiltered, CodeEvicted,
		CodeInquiryDone, CodeMoved:
		return true
	}
	return false
}

// CloseError is why a session ended, where that is known: the remote said so (Remote), or our end found the fault.
type CloseError struct {
	Code   Code
	Remote bool
	Reason string
	Err    error // the cause underneath; may be nil
}

func (e *CloseError) Error() string {
	by := ""
	if e.Remote {
		by = "remote: "
	}
	s := by + e.Code.String()
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	if e.Err != nil && e.Err.Error() != e.Reason {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *CloseError) Unwrap() error { return e.Err }

type closedError struct{}

func (closedError) Error() string { return "session closed" }
func (closedError) Unwrap() error { return net.ErrClosed }
