package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	ma "github.com/multiformats/go-multiaddr"
)

// OpError is an error of a transport: the operation, the address and the cause.
type OpError struct {
	Op   string // "dial", "listen on", "accept on"
	Addr ma.Multiaddr
	Err  error
}

func (e *OpError) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Addr, e.Err) }

// Unwrap gives the cause: a context's error, a syscall.Errno, ErrListenerClosed, ...
func (e *OpError) Unwrap() error { return e.Err }

// NewOpError wraps the error of an operation that ctx bounded. It removes the layers of package net that repeat Op and
// Addr; when ctx ended, or a deadline of ctx's stopped a system call just before ctx did, the cause is ctx's error.
func NewOpError(ctx context.Context, op string, addr ma.Multiaddr, err error) *OpError {
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		err = context.DeadlineExceeded
	default:
		err = bare(err)
	}
	return &OpError{Op: op, Addr: addr, Err: err}
}

func bare(err error) error {
	var inNet *net.OpError
	if errors.As(err, &inNet) {
		err = inNet.Err
	}
	var inCall *os.SyscallError
	if errors.As(err, &inCall) {
		err = inCall.Err
	}
	return err
}
