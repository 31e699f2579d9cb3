package yamux

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// codeBase marks the length of a GO_AWAY as one of our codes, "SY" and the code, so that no number of another
// implementation is taken for one. Resets have muxer.ResetCode.
const codeBase = 0x5359_0000

func toWire(code muxer.Code) uint32 {
	if code == muxer.CodeUnknown {
		return 0
	}
	return codeBase | uint32(code)
}

// cutShort is err inside a frame.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// connError explains how the connection failed beneath us.
func connError(err error) error {
	for _, hungUp := range []error{io.ErrUnexpectedEOF, io.ErrClosedPipe, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, hungUp) {
			return &muxer.CloseError{Code: muxer.CodeRemoteClosed, Remote: true, Err: err}
		}
	}
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return &muxer.CloseError{Code: muxer.CodeTransport, Err: err}
}

// goneAway returns why the remote ends the connection, by the code of its GO_AWAY.
func goneAway(length uint32) error {
	why := &muxer.CloseError{Code: muxer.CodeRemoteClosed, Remote: true}
	switch {
	case length&^0xffff == codeBase:
		why.Code = muxer.Code(length)
	case length == 0:
	case length == 1:
		why.Code, why.Reason = muxer.CodeProtocolError, "the remote reports a protocol error of ours"
	case length == 2:
		why.Reason = "the remote reports an internal error"
	default:
		why.Reason = fmt.Sprintf("the remote gives the code 0x%x", length)
	}
	return why
}
