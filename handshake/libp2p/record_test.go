package libp2p

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
)

// sealed is a signed peer record of a key.
func sealed(t *testing.T, key handshake.Identity, seq uint64, addrs ...ma.Multiaddr) []byte {
	t.Helper()
	b, err := handshake.SealPeerRecord(t.Context(), key, seq, addrs)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Our record is in the answer to identify, and in a message of its own behind a long one.
func TestOwnRecordIsTold(t *testing.T) {
	long := make([]string, 60)
	for i := range long {
		long[i] = "/" + string(bytes.Repeat([]byte{byte('a' + i%26)}, 60)) + "/" + string(rune('A'+i/26))
	}
	for name, protocols := range map[string][]string{"short": {"/one"}, "long": long} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dl, ll := linked(t)
				record := sealed(t, keyA, 5, ma.StringCast("/ip4/1.2.3.4/tcp/5"))
				if err := dl.Push(t.Context(), handshake.NodeInfo{Version: "dialer/1", Protocols: protocols,
					SignedRecord: record}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				var told []byte
				ll.Changes(func(n handshake.NodeInfo) { told = n.SignedRecord })
				if !bytes.Equal(told, record) {
					t.Errorf("a push told %x", told)
				}
				who, err := identify(t.Context(), ll.Session.(*lanes.Session))
				if err != nil || !bytes.Equal(who.record, record) || who.agent != "dialer/1" {
					t.Errorf("identify told %x, %q, %v", who.record, who.agent, err)
				}
			})
		})
	}
}

// A record that is not the remote's own costs as other untruths do: in identify the link, in a push the stream. The
// latest record is kept, in whatever order they come.
func TestRecordsOfRemotes(t *testing.T) {
	addr := ma.StringCast("/ip4/1.2.3.4/tcp/5")
	good, later := sealed(t, keyA, 5, addr), sealed(t, keyA, 6, addr)
	broken := bytes.Clone(good)
	broken[len(broken)-1] ^= 1
	for name, record := range map[string][]byte{"broken": broken, "another's": sealed(t, keyB, 5, addr), "no": {1}} {
		m := message{record: record}
		var refusal *handshake.Refusal
		if _, err := m.nodeInfo(keyA.Public()); !errors.As(err, &refusal) || refusal.Code != muxer.CodeInvalidInfo {
			t.Errorf("%s record: %v", name, err)
		}
	}
	m := message{record: good}
	if info, err := m.nodeInfo(keyA.Public()); err != nil || !bytes.Equal(info.SignedRecord, good) || m.seq != 5 {
		t.Errorf("a good record: %+v, %v", info, err)
	}
	synctest.Test(t, func(t *testing.T) {
		dl, ll := linked(t)
		var told []byte
		ll.Changes(func(n handshake.NodeInfo) { told = n.SignedRecord })
		for _, c := range []struct {
			record, want []byte
			read         bool
		}{{good, good, true}, {broken, good, false}, {later, later, true}, {good, later, true}} {
			read := pushRaw(t, dl, delimited(field(fieldProtocol, "/x"), field(fieldSignedRecord, string(c.record))))
			synctest.Wait()
			if read != c.read || !bytes.Equal(told, c.want) {
				t.Errorf("read %v, told %x, want %v, %x", read, told, c.read, c.want)
			}
		}
	})
	c := changes{}
	c.merge(&handshake.NodeInfo{SignedRecord: good}, 5)
	if c.began(6); c.signed != nil || c.seq != 6 {
		t.Error("a push that came before hides the record of the handshake")
	}
}
