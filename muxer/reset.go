package muxer

import (
	"fmt"
	"io"
)

// ResetCode is the number that the reset of a stream carries on the wire: in QUIC's RESET_STREAM and STOP_SENDING, and
// in the length field of yamux's RST. 0 gives no reason. An application may use its own numbers. Those of libp2p are in
// libp2p/specs, error-codes.
type ResetCode uint32

const (
	// resetBase marks a number as that of a Code, "SY" and the code, so that no number of another implementation is
	// taken for one.
	resetBase ResetCode = 0x5359_0000
	// libp2pResets is libp2p's first number.
	libp2pResets ResetCode = 0x1001
)

// libp2pCodes are what libp2p's numbers mean, from libp2pResets on.
var libp2pCodes = [...]Code{
	CodeIncompatible,  // protocol negotiation failed
	CodeTooManyPeers,  // resource limit exceeded
	CodeTooManyStarts, // rate limited
	CodeProtocolError, // protocol violation
	CodeDuplicate,     // supplanted
	CodeEvicted,       // garbage collected
	CodeShuttingDown,  // shutdown
	CodeFiltered,      // gated
}

// Reset returns the number under which c travels in resets of streams.
func (c Code) Reset() ResetCode {
	if c == CodeUnknown {
		return 0
	}
	return resetBase | ResetCode(c)
}

// Code returns the Code that n stands for: one of ours, or what libp2p's numbers come closest to. It is CodeUnknown for
// all others.
func (n ResetCode) Code() Code {
	switch i := n - libp2pResets; {
	case n&^0xffff == resetBase:
		return Code(n)
	case n >= libp2pResets && int64(i) < int64(len(libp2pCodes)):
		return libp2pCodes[i]
	}
	return CodeUnknown
}

// A ResetError says that a stream was reset, and by whom. Reads and writes of the stream return it, perhaps wrapped. A
// stream that ends with its connection returns why that ended instead.
type ResetError struct {
	Code   ResetCode
	Remote bool // the remote did it, or does not read any more (QUIC)
}

func (e *ResetError) Error() string {
	s := "we have reset the stream"
	if e.Remote {
		s = "the remote has reset the stream"
	}
	switch code := e.Code.Code(); {
	case e.Code == 0:
		return s
	case code == CodeUnknown:
		return fmt.Sprintf("%s (code 0x%x)", s, uint32(e.Code))
	default:
		return fmt.Sprintf("%s (%v)", s, code)
	}
}

// Unwrap returns io.ErrClosedPipe.
func (*ResetError) Unwrap() error { return io.ErrClosedPipe }
