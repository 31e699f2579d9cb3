package libp2p

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
)

// linked are two ends of a link that are run until the test ends.
func linked(t *testing.T) (dl, ll *handshake.Link) {
	t.Helper()
	d, l := ends()
	dl, ll, derr, lerr := shake(t, d, l)
	if derr != nil || lerr != nil {
		t.Fatal(derr, lerr)
	}
	agreeBoth(t, dl, ll)
	run(t, dl, &streamInbox{})
	run(t, ll, &streamInbox{})
	return dl, ll
}

// pushRaw sends a push, and says whether it was read.
func pushRaw(t *testing.T, l *handshake.Link, b []byte) bool {
	t.Helper()
	s, err := l.Session.OpenStream(t.Context(), protocolPush)
	if err != nil {
		return false
	}
	_, _ = s.Write(b)
	_ = s.CloseWrite()
	_, err = s.Read(make([]byte, 1))
	_ = s.Close()
	synctest.Wait() // its server is done
	return err != nil && err.Error() == "EOF"
}

// What a push says is told, what it leaves out stays, and the next identify says the same.
func TestPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dl, ll := linked(t)
		before := ll.Remote
		local := handshake.NodeInfo{Version: "dialer/1", Listen: []string{"/ip4/10.0.0.1/tcp/6"},
			Protocols: []string{"/new"}}
		if err := dl.Push(t.Context(), local); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var told []handshake.NodeInfo
		ll.Changes(func(n handshake.NodeInfo) { told = append(told, n) }) // it came before
		if len(told) != 1 || !slices.Equal(told[0].Listen, local.Listen) ||
			!slices.Contains(told[0].Protocols, "/new") || told[0].Moniker != before.Moniker {
			t.Fatalf("%+v", told)
		}
		if !pushRaw(t, dl, delimited(field(fieldProtocol, "/newer"))) {
			t.Error("a push without key and addresses was not read")
		}
		synctest.Wait()
		if len(told) != 2 || !slices.Equal(told[1].Listen, local.Listen) ||
			!slices.Equal(told[1].Protocols, []string{"/newer"}) {
			t.Fatalf("%+v", told)
		}
		who, err := identify(t.Context(), ll.Session.(*lanes.Session))
		if err != nil || !slices.Contains(who.protocols, "/new") {
			t.Errorf("%+v, %v", who, err)
		}
	})
}

// Pushes that break the bounds, or come too often, are not read, and the link goes on.
func TestPushFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dl, ll := linked(t)
		told := 0
		ll.Changes(func(handshake.NodeInfo) { told++ })
		for name, b := range map[string][]byte{
			"a foreign key": delimited(field(fieldPublicKey, string(keyB.Public().AppendProto(nil))),
				field(fieldProtocol, "/x")),
			"too long":          delimited(make([]byte, maxMessage+1)),
			"too many messages": bytes.Repeat(delimited(field(fieldAgent, "a")), maxMessages+1),
		} {
			if pushRaw(t, dl, b) {
				t.Errorf("%s: read", name)
			}
		}
		good := delimited(field(fieldProtocol, "/x"))
		read := 0
		for range 100 {
			if pushRaw(t, dl, good) {
				read++
			}
		}
		if read != pushBurst-3 {
			t.Errorf("%d pushes at once were read, want %d", read, pushBurst-3)
		}
		for range 20 {
			time.Sleep(2 * pushInterval)
			if pushRaw(t, dl, good) {
				read++
			}
		}
		synctest.Wait()
		if read != pushBurst-3+20 || told != read {
			t.Errorf("%d pushes in all were read, and %d told, want %d", read, told, pushBurst-3+20)
		}
	})
}
