package peers

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// A peer that has proven its key and has no place for us is one that works, whether it says so or hangs up: its address
// becomes a tried one, and however often that happens its address is not called dead. Who hangs up before that, or
// refuses us for what we are, has shown nothing.
func TestFullPeersAreKept(t *testing.T) {
	hangUp := func(stage string, code muxer.Code) error { return handshake.Fail(stage, code, errors.New("EOF")) }
	words := func(stage string, code muxer.Code, remote bool) error {
		return &handshake.Refusal{Stage: stage, Code: code, Remote: remote}
	}
	for name, tc := range map[string]struct {
		err   error
		works bool
		fails bool // the peer as a whole backs off as after a failure
	}{
		"hangs up after the key":    {hangUp(handshake.StageInfo, muxer.CodeRemoteClosed), true, true},
		"is cut off after the key":  {hangUp(handshake.StageInfo, muxer.CodeTransport), true, true},
		"is full":                   {words(handshake.StageInfo, muxer.CodeTooManyPeers, true), true, false},
		"has another link":          {words(handshake.StageInfo, muxer.CodeDuplicate, true), true, false},
		"hangs up before the key":   {hangUp(handshake.StageSecurity, muxer.CodeRemoteClosed), false, true},
		"is silent after the key":   {hangUp(handshake.StageInfo, muxer.CodeTimeout), false, true},
		"is full before the key":    {words(handshake.StageSecurity, muxer.CodeTooManyPeers, true), false, false},
		"has banned us":             {words(handshake.StageInfo, muxer.CodeBanned, true), false, true},
		"is refused by ourselves":   {words(handshake.StageInfo, muxer.CodeTooManyPeers, false), false, false},
		"talks nonsense after that": {hangUp(handshake.StageInfo, muxer.CodeProtocolError), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				m, id := newPM(t, Config{}), lowID(1)
				m.up(highID(9)) // not isolated
				m.learn(id)
				err := tc.err
				if !strings.Contains(name, "before the key") {
					err = proving(id, err)
				}
				for n := 1; n <= 9; n++ {
					m.mustDial(id)
					m.fail(id, err)
					rec := m.record(id)
					a := rec.Addresses[0]
					if rec.Tried() != tc.works || rec.InTried != tc.works || tc.works &&
						(!a.LastSuccess.Equal(time.Now()) || a.Failures != 0) || a.LastError == "" {
						t.Fatalf("time %d: %+v", n, rec)
					}
					if failed := int(rec.Failures) == n; failed != tc.fails {
						t.Fatalf("time %d: %d failures", n, rec.Failures)
					}
					time.Sleep(2 * time.Hour)
				}
			})
		})
	}
}
