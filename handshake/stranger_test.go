package handshake

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// A dialer that finds another protocol names it, whichever way the handshake fails there, and tells a remote that hangs
// up from one that is silent.
func TestDialersNameStrangers(t *testing.T) {
	for name, c := range map[string]struct {
		sends, then string // then, after a second
		open        bool   // the remote does not hang up behind that
		want        string
		code        muxer.Code
	}{
		"http": {sends: "HTTP/1.1 400 Bad Request\r\n\r\n", want: "the remote speaks HTTP",
			code: muxer.CodeRemoteClosed},
		"tls alert": {sends: "\x15\x03\x01\x00\x02\x02\x46", want: "the remote speaks plain TLS",
			code: muxer.CodeRemoteClosed},
		"ssh": {sends: "SS", then: "H-2.0-OpenSSH_9.6p1\r\n", open: true, want: "the remote speaks SSH",
			code: muxer.CodeTimeout},
		"libp2p": {sends: "\x13/multistream/1.0.0\n", want: "the remote speaks libp2p",
			code: muxer.CodeRemoteClosed},
		"hangs up": {want: "hung up without a word", code: muxer.CodeRemoteClosed},
		"silent":   {open: true, want: "the remote says nothing: not done within 5s", code: muxer.CodeTimeout},
		"garbage":  {sends: "\x22garbage", want: "security: unexpected EOF", code: muxer.CodeRemoteClosed},
	} {
		synctest.Test(t, func(t *testing.T) {
			u := newUpgrader(t, fakeConfig(ourKey))
			remote, ours := pipe("/ip4/10.0.0.1")
			defer remote.Close()
			_, _ = io.WriteString(remote, c.sends)
			time.AfterFunc(time.Second, func() {
				_, _ = io.WriteString(remote, c.then)
				if !c.open {
					_ = remote.CloseWrite()
				}
			})
			_, err := u.Outbound(context.Background(), ours, address(t, "10.0.0.1:1"), 0)
			if stage, code := failure(t, err); stage != StageSecurity || code != c.code ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %s %s, %v", name, stage, code, err)
			}
		})
	}
}
