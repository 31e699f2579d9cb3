package peers

import (
	"context"
	"errors"
	"strings"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// ErrStopped reports that a subscription is closed, or that the host has stopped.
var ErrStopped = errors.New("the host has stopped")

// DisconnectError is why a link ended, or why it was refused. It travels unchanged from where it arises to the log,
// the API and, where the wire can carry it, the remote.
type DisconnectError struct {
	Code   muxer.Code
	Remote bool   // the remote ended or refused the link
	Limit  string // configuration key of the limit that refused; may be empty
	Reason string
	Err    error // the cause; may be nil
}

func (e *DisconnectError) Error() string {
	s := e.Code.String()
	if e.Remote {
		s = "remote: " + s
	}
	if reason := strings.TrimPrefix(e.Reason, e.Code.String()+": "); reason != "" { // of a stage with the code's name
		s += ": " + reason
	}
	if e.Limit != "" {
		s += " (" + e.Limit + ")"
	}
	if e.Err != nil && e.Err.Error() != e.Reason {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *DisconnectError) Unwrap() error { return e.Err }

// DialFailure is why one address of a peer could not be dialed.
type DialFailure struct {
	Address transport.Address
	Err     error
}

// answered reports whether a dial that brought no link has still proven its address: the expected peer proved its key
// and had no room for us. A libp2p remote says so after both have identified themselves. A comet remote cannot: it
// hangs up after the keys are proven, and its node info may be lost with that. Counting such a hang-up as an answer
// helps no attacker, who could as well accept; not counting it would forget full nodes, which honest ones often are.
// The peer as a whole still backs off.
func answered(id transport.NodeID, err error) bool {
	if handshake.ProvenID(err) != id {
		return false
	}
	if r, ok := errors.AsType[*handshake.Refusal](err); ok {
		return r.Remote && r.Stage == handshake.StageInfo &&
			(r.Code == muxer.CodeTooManyPeers || r.Code == muxer.CodeDuplicate)
	}
	if s, ok := errors.AsType[*handshake.StageError](err); !ok || s.Stage != handshake.StageInfo {
		return false
	}
	code, _ := codeOf(err)
	return code == muxer.CodeRemoteClosed || code == muxer.CodeTransport
}

// foreign reports whether one of two node infos, which both proven keys vouch for, was refused as that of another
// network.
func foreign(err error) bool {
	r, ok := errors.AsType[*handshake.Refusal](err)
	return ok && r.Stage == handshake.StageInfo &&
		(r.Code == muxer.CodeWrongNetwork || r.Code == muxer.CodeIncompatible)
}

// codeOf returns the code of a failed dial's error, and whether the remote gave it.
func codeOf(err error) (code muxer.Code, remote bool) {
	if d, ok := errors.AsType[*DisconnectError](err); ok {
		return d.Code, d.Remote
	}
	if r, ok := errors.AsType[*handshake.Refusal](err); ok {
		return r.Code, r.Remote
	}
	if c, ok := errors.AsType[*muxer.CloseError](err); ok {
		return c.Code, c.Remote
	}
	if errors.Is(err, context.Canceled) {
		return muxer.CodeRequested, false
	}
	if s, ok := errors.AsType[*handshake.StageError](err); ok {
		return s.Code, false
	}
	return muxer.CodeTransport, false
}

// maxLastError is how many bytes of an error's text peerstore.Record keeps.
const maxLastError = 128

// cut shortens a text to at most n bytes.
func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
