package handshake

import (
	"errors"
	"fmt"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Refusal reports that one end declined the connection, at a checkpoint or because a budget is spent.
type Refusal struct {
	Code   muxer.Code
	Remote bool   // the remote refused us
	Stage  string // where in the handshake
	Limit  string // the configuration key that set the limit, such as "limits.handshakes_per_ip"; may be empty
	Reason string
	Proven transport.NodeID // as in StageError
	Stages [4]Stage         // as in StageError
}

func (r *Refusal) Error() string {
	who := "refused"
	if r.Remote {
		who = "remote refused"
	}
	s := fmt.Sprintf("%s: %s", who, r.Code)
	if r.Reason != "" {
		s += ": " + r.Reason
	}
	if r.Limit != "" {
		s += " (" + r.Limit + ")"
	}
	return s
}

// StageError reports in which stage a handshake failed.
type StageError struct {
	Stage string     // "transport", "security", "muxer" or "info"
	Code  muxer.Code // such as CodeTimeout, CodeAuthFailed, CodeWrongID
	Err   error
	// Proven is the node id whose key the remote had proven by then; "" if the handshake failed before that. Then the
	// address is to blame, never the node that was expected there. The Upgrader sets it.
	Proven transport.NodeID
	// Stages are the stages up to the failure, as far as that is known; the last one with a name is where it failed.
	Stages [4]Stage
}

// ProvenID returns the node id whose key the remote had proven before a handshake failed with err, whatever the
// transport; "" if it had proven none.
func ProvenID(err error) transport.NodeID {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Proven
	}
	if s, ok := errors.AsType[*StageError](err); ok {
		return s.Proven
	}
	return ""
}

func (e *StageError) Error() string { return e.Stage + ": " + e.Err.Error() }
func (e *StageError) Unwrap() error { return e.Err }

// Fail wraps err as a StageError.
func Fail(stage string, code muxer.Code, err error) error {
	return &StageError{Stage: stage, Code: code, Err: err}
}
