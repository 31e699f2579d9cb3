package host

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// What a guest says on its second link is told of the peer, which services know by the first one; and what it says
// again is no change.
func TestChangesOnTheSecondLinkOfAGuest(t *testing.T) {
	inLinkTest(t, func(t *testing.T, h *linkTest) {
		first, _ := testLink(h.Host, 1, muxer.Listener, false)
		second, _ := testLink(h.Host, 1, muxer.Listener, false)
		first.shake.Remote.Guest, second.shake.Remote.Guest = true, true
		handOn(h.Host, first)
		time.Sleep(time.Minute)
		handOn(h.Host, second)
		time.Sleep(time.Minute)
		p := first.peering.Load()
		if p == nil || second.peering.Load() != nil {
			t.Fatal("the first link is not the one in use")
		}
		var told []PeerInfo
		p.OnChange(func(i PeerInfo) { told = append(told, i) })
		for range 2 {
			info := *second.remote.Load()
			info.Protocols, info.SignedRecord = []string{"/new"}, []byte("record")
			second.remoteChanged(&info)
			synctest.Wait()
			first.remoteChanged(&info) // go-libp2p tells each connection
			synctest.Wait()
		}
		now, _ := h.Peer(first.peer)
		if len(told) != 1 || !slices.Equal(told[0].Protocols, now.Protocols) || string(now.SignedRecord) != "record" ||
			!slices.Equal(now.Protocols, []string{"/new"}) {
			t.Errorf("told %+v; now %+v", told, now)
		}
		h.hears("up " + short(1))
	})
}
