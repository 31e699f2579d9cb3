package handshake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// timeoutError reports that a handshake took too long. It is a context.DeadlineExceeded.
type timeoutError struct{ text string }

func (e *timeoutError) Error() string { return e.text }
func (e *timeoutError) Unwrap() error { return context.DeadlineExceeded }
func (e *timeoutError) Timeout() bool { return true }

// explain makes what ended a handshake a *StageError or a *Refusal with the best code that we know. parent is the
// caller's context, shake the handshake's own.
func (u *Upgrader) explain(parent, shake context.Context, a *Attempt, began time.Time, err error) error {
	var stages [4]Stage
	copy(stages[:], append(a.stages, Stage{a.stage, time.Since(a.last)}))
	var refusal *Refusal
	if errors.As(err, &refusal) {
		mine := *refusal // a gate may return one and the same value to many
		mine.Proven, mine.Stages = a.RemoteID, stages
		return &mine
	}
	stage, code := a.stage, muxer.CodeUnknown
	var failed *StageError
	if errors.As(err, &failed) {
		stage, code, err = failed.Stage, failed.Code, failed.Err
	}
	own := IsOwnFault(err)
	// At the end of the time, and of the caller's patience, the connection is closed under the wire, so its own error
	// says little.
	broken := code == muxer.CodeUnknown || code == muxer.CodeTimeout || code == muxer.CodeTransport ||
		code == muxer.CodeRemoteClosed
	deadline, _ := shake.Deadline()
	switch {
	case broken && parent.Err() != nil && !errors.Is(parent.Err(), context.DeadlineExceeded):
		code, err = muxer.CodeRequested, fmt.Errorf("given up: %w", context.Cause(parent))
	case own:
		code = muxer.CodeNoSignature
	case broken && (!time.Now().Before(deadline) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, context.DeadlineExceeded)):
		text := fmt.Sprintf("not done within %v", deadline.Sub(began).Round(time.Millisecond))
		if deadline.Sub(began) == u.cfg.Timeout {
			text += " (" + keyTimeout + ")"
		}
		code, err = muxer.CodeTimeout, &timeoutError{text}
	case code == muxer.CodeUnknown:
		code = CodeOf(err)
	}
	if a.Bytes != nil && stage == StageSecurity && code != muxer.CodeRequested && !own {
		err = a.named(code, err)
	}
	return &StageError{Stage: stage, Code: code, Err: err, Proven: a.RemoteID, Stages: stages}
}

// named adds to an error what the remote seems to be: another protocol, or one that says nothing at all.
func (a *Attempt) named(code muxer.Code, err error) error {
	switch name := stranger(a.Bytes.begin[:a.Bytes.heard]); {
	case name != "" && name != a.wire:
		return fmt.Errorf("the remote speaks %s: %w", name, err)
	case a.Bytes.heard > 0 || a.Side == muxer.Listener:
		return err
	case code == muxer.CodeTimeout:
		return fmt.Errorf("the remote says nothing: %w", err)
	case code == muxer.CodeRemoteClosed:
		return fmt.Errorf("the remote hung up without a word (it is full, refuses us, or takes one link an IP, "+
			"as CometBFT does): %w", err)
	}
	return err
}

// CodeOf returns the code of an error of the connection beneath a handshake or session: CodeTimeout, CodeRemoteClosed,
// CodeTransport, or CodeUnknown when it is no such error.
func CodeOf(err error) muxer.Code {
	var ne net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return muxer.CodeTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE):
		return muxer.CodeRemoteClosed
	case errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed), errors.As(err, &ne):
		return muxer.CodeTransport
	}
	return muxer.CodeUnknown
}

// transportOf names the transport that an address is of.
func transportOf(addr ma.Multiaddr) string {
	name := ""
	for i := range addr {
		switch addr[i].Code() {
		case ma.P_QUIC_V1, ma.P_QUIC:
			return "quic"
		case ma.P_TCP, ma.P_ONION3, ma.P_ONION:
			name = "tcp"
		case ma.P_MEMORY:
			name = "memory"
		}
	}
	if name == "" && len(addr) > 0 {
		name = addr[len(addr)-1].Protocol().Name
	}
	return name
}
