package quic

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"unicode/utf8"

	lib "github.com/quic-go/quic-go"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Codes on the wire, of CONNECTION_CLOSE. Those of RESET_STREAM and STOP_SENDING are muxer.ResetCode. Ours are
//
//	0                  no reason is given (muxer.CodeUnknown)
//	0x5359_0000 + n    muxer.Code n; the first bytes are "SY", so that no other implementation uses these numbers
//
// With CONNECTION_CLOSE goes the reason as text. What go-libp2p sends (libp2p/specs, error codes) is understood as
// foreignCodes says; any other number is CodeRemoteClosed.
const codeBase = 0x5359_0000

// foreignCodes are those of libp2p's connection errors that say more than that it is over.
var foreignCodes = map[uint64]muxer.Code{
	0x1000: muxer.CodeIncompatible,  // protocol negotiation failed
	0x1001: muxer.CodeTooManyPeers,  // resource limit exceeded
	0x1002: muxer.CodeTooManyStarts, // rate limited
	0x1003: muxer.CodeProtocolError, // protocol violation
	0x1004: muxer.CodeDuplicate,     // supplanted by another connection
	0x1005: muxer.CodeEvicted,       // garbage collected
	0x1006: muxer.CodeShuttingDown,  // shutdown
	0x1007: muxer.CodeFiltered,      // gated
}

// outOfRange is libp2p's code for one that has more than 32 bits.
const outOfRange = 0x1009

// maxReason is how much of a reason is sent, in bytes: it has to fit in one packet.
const maxReason = 512

func toWire(code muxer.Code) uint64 {
	if code == muxer.CodeUnknown {
		return 0
	}
	return codeBase | uint64(code)
}

// resetCode makes a number of RESET_STREAM or STOP_SENDING one of 32 bits. Larger ones become the one by which libp2p
// says so.
func resetCode(n lib.StreamErrorCode) muxer.ResetCode {
	if n > math.MaxUint32 {
		return outOfRange
	}
	return muxer.ResetCode(n)
}

func fromWire(n uint64) muxer.Code {
	if n > codeBase && n <= codeBase+0xffff {
		return muxer.Code(n - codeBase)
	}
	if code, ok := foreignCodes[n]; ok {
		return code
	}
	return muxer.CodeRemoteClosed
}

// clip returns what is sent of a reason.
func clip(reason string) string {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
		for !utf8.ValidString(reason) && len(reason) > maxReason-utf8.UTFMax {
			reason = reason[:len(reason)-1]
		}
	}
	return strings.ToValidUTF8(reason, "?")
}

// explain returns why a connection ended, given quic-go's error.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var app *lib.ApplicationError
	var tr *lib.TransportError
	var idle *lib.IdleTimeoutError
	var late *lib.HandshakeTimeoutError
	var reset *lib.StatelessResetError
	var version *lib.VersionNegotiationError
	switch {
	case errors.As(err, &app) && app.Remote:
		return &muxer.CloseError{Code: fromWire(uint64(app.ErrorCode)), Remote: true, Reason: clip(app.ErrorMessage),
			Err: net.ErrClosed}
	case errors.As(err, &app):
		return muxer.ErrClosed
	case errors.As(err, &idle):
		return &muxer.CloseError{Code: muxer.CodeIdle, Reason: "the remote was silent for too long", Err: err}
	case errors.As(err, &late):
		return &muxer.CloseError{Code: muxer.CodeTimeout, Err: err}
	case errors.As(err, &reset):
		return &muxer.CloseError{Code: muxer.CodeRemoteClosed, Remote: true,
			Reason: "the remote knows nothing of the connection any more", Err: err}
	case errors.As(err, &version):
		return &muxer.CloseError{Code: muxer.CodeIncompatible, Err: err}
	case errors.As(err, &tr):
		code := muxer.CodeProtocolError
		switch {
		case tr.ErrorCode.IsCryptoError():
			code = muxer.CodeAuthFailed
		case tr.Remote && tr.ErrorCode == lib.ConnectionRefused:
			code = muxer.CodeTooManyStarts
		case tr.Remote && (tr.ErrorCode == lib.NoError || tr.ErrorCode == lib.ApplicationErrorErrorCode):
			code = muxer.CodeRemoteClosed
		}
		return &muxer.CloseError{Code: code, Remote: tr.Remote, Err: err}
	}
	return &muxer.CloseError{Code: muxer.CodeTransport, Err: err}
}

// explainStream makes an error of a stream one that callers of a net.Conn know. reset: we have reset it.
func explainStream(err error, reset bool) error {
	// before the variables, which are on the heap: this is called for every read and write
	if err == nil || err == io.EOF {
		return err
	}
	var s *lib.StreamError
	var timeout net.Error
	switch {
	case errors.As(err, &s):
		if !s.Remote && !reset { // after CloseRead
			return net.ErrClosed
		}
		return &muxer.ResetError{Code: resetCode(s.ErrorCode), Remote: s.Remote}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case errors.Is(err, lib.ErrStreamClosed):
		return net.ErrClosed
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &timeout), errors.Is(err, net.ErrClosed):
		return explain(err)
	}
	return err
}
