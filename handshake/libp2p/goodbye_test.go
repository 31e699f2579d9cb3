package libp2p

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// The reason of a link's end crosses whole, and is there when the session of the remote has ended.
func TestGoodbye(t *testing.T) {
	for _, dialer := range []bool{true, false} { // the dialer ends it, or the listener
		synctest.Test(t, func(t *testing.T) {
			d, l := ends()
			d.security, l.security = plain{}, plain{}
			a, b, derr, lerr := shake(t, d, l)
			if derr != nil || lerr != nil {
				t.Fatal(derr, lerr)
			}
			agreeBoth(t, a, b)
			if !dialer {
				a, b = b, a
			}
			run(t, a, &streamInbox{})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = b.Session.Run(t.Context(), &streamInbox{})
			}()
			began := time.Now()
			a.Goodbye(t.Context(), &handshake.Refusal{Code: muxer.CodeOverflow, Limit: "limits.message_memory",
				Reason: "most of the memory\n" + strings.Repeat("x", 1000)})
			_ = a.Session.Close(muxer.CodeOverflow, "")
			<-ended
			want := handshake.Refusal{Remote: true, Stage: handshake.StageInfo, Code: muxer.CodeOverflow,
				Limit: "limits.message_memory", Reason: "most of the memory?" + strings.Repeat("x", maxReason-19)}
			if got := b.Farewell(); got == nil || *got != want {
				t.Errorf("the remote was told %+v", got)
			}
			if took := time.Since(began); took > 0 {
				t.Errorf("the goodbye waited for %v", took)
			}
		})
	}
}

// A remote that does not read a goodbye, or does not have it, holds nothing up for long.
func TestGoodbyeToADeafRemote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, l := ends()
		d.security, l.security = plain{}, plain{}
		a, b, derr, lerr := shake(t, d, l)
		if derr != nil || lerr != nil {
			t.Fatal(derr, lerr)
		}
		agreeBoth(t, a, b)
		run(t, a, &streamInbox{}) // b does not run: it answers the protocols of the handshake alone
		leave(b)
		began := time.Now()
		a.Goodbye(t.Context(), &handshake.Refusal{Code: muxer.CodeBanned, Reason: "gone"})
		if took := time.Since(began); took > lastWord {
			t.Errorf("the goodbye took %v", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		l, g, err := meetGuest(t, muxer.Dialer, plainNode{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if l.Goodbye != nil || l.Farewell != nil {
			t.Error("a guest is told in our way")
		}
		leave(l)
		g.end()
	})
}
