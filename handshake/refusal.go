package handshake

import (
	"fmt"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Refusal reports that one end declined the connection, at a checkpoint or because a budget is spent.
type Refusal struct {
	Code   muxer.Code
	Remote bool   // the remote refused us
	Stage  string // where in the handshake
	Limit  string // the configuration key that set the limit, such as "limits.handshakes_per_ip"; may be empty
	Reason string
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
}

func (e *StageError) Error() string { return e.Stage + ": " + e.Err.Error() }
func (e *StageError) Unwrap() error { return e.Err }

// Fail wraps err as a StageError.
func Fail(stage string, code muxer.Code, err error) error {
	return &StageError{Stage: stage, Code: code, Err: err}
}
