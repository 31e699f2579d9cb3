package cli

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/muxer"
)

func TestErrorsPrintAnchors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&handshake.Refusal{Code: muxer.CodeWrongNetwork, Reason: "it is of b"}, "see docs/reasons.md#wrong-network"},
		{handshake.Fail(handshake.StageTransport, muxer.CodeTimeout, errors.New("x")), "see docs/reasons.md#timeout"},
		{fmt.Errorf("dial: %w", &host.DisconnectError{Code: muxer.CodeBanned}), "see docs/reasons.md#banned"},
		{&admin.APIError{Reason: &admin.Reason{Code: "wrong-id"}}, "see docs/reasons.md#wrong-id"},
		{&host.DisconnectError{Code: muxer.CodeRequested}, ""},
		{errors.New("anything else"), ""},
	} {
		if got := hint(tt.err); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
	if out := must(t, "reasons", "wrong-network"); !strings.Contains(out, "Compare network") {
		t.Errorf("printed %q", out)
	}
	if out := must(t, "reasons", "transport"); strings.Count(out, "means") != 2 { // a reason and a stage
		t.Errorf("printed %q", out)
	}
	if r := call(t, "reasons", "no-such"); r.code != exitUsage || !strings.Contains(r.err, "no code") {
		t.Errorf("%+v", r)
	}
}
