package wire

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// muxerCode returns the code of a handshake's error.
func muxerCode(err error) muxer.Code {
	var s *handshake.StageError
	var r *handshake.Refusal
	switch {
	case errors.As(err, &r):
		return r.Code
	case errors.As(err, &s):
		return s.Code
	}
	return muxer.CodeUnknown
}
