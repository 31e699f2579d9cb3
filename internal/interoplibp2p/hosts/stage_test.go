package hosts

import (
	"errors"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// whereAndWhy returns the stage and reason of a failed connection.
func whereAndWhy(err error) (stage string, code muxer.Code) {
	var s *handshake.StageError
	var r *handshake.Refusal
	var d *host.DisconnectError
	switch {
	case errors.As(err, &s):
		return s.Stage, s.Code
	case errors.As(err, &r):
		return r.Stage, r.Code
	case errors.As(err, &d):
		return "", d.Code
	}
	return "", muxer.CodeUnknown
}

func wantStage(t *testing.T, err error, stage string, code muxer.Code) {
	t.Helper()
	if s, c := whereAndWhy(err); s != stage || c != code {
		t.Errorf("%v (%T): stage %q and code %v, want %q and %v", err, err, s, c, stage, code)
	}
}
