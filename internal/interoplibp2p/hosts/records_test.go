package hosts

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/gopeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
)

// seen is what they find in our signed peer records, once they have verified them.
type seen struct {
	p   *pair
	sub event.Subscription
}

func seeing(t *testing.T, p *pair) seen {
	t.Helper()
	sub, err := p.theirs.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Close() })
	return seen{p, sub}
}

// await waits for a record of ours with all of these addresses, and returns its sequence number.
func (s seen) await(t *testing.T, want ...ma.Multiaddr) uint64 {
	t.Helper()
	for {
		var e event.EvtPeerIdentificationCompleted
		select {
		case got := <-s.sub.Out():
			e = got.(event.EvtPeerIdentificationCompleted)
		case <-s.p.ctx.Done():
			t.Fatalf("they have seen no record of ours with %v", want)
		}
		if e.SignedPeerRecord == nil || e.Peer != s.p.ours.PeerID() {
			continue
		}
		r, err := e.SignedPeerRecord.Record()
		if err != nil {
			t.Fatal(err)
		}
		rec := r.(*peer.PeerRecord)
		if rec.PeerID != s.p.ours.PeerID() {
			t.Fatalf("our record is of %s", rec.PeerID)
		}
		if !slices.ContainsFunc(want, func(m ma.Multiaddr) bool { return !slices.ContainsFunc(rec.Addrs, m.Equal) }) {
			return rec.Seq
		}
	}
}

// records checks that each end verifies the other's signed peer record, and a new one when it changes.
func records(t *testing.T, p *pair) {
	p.await(t)
	s := seeing(t, p)
	mapped := ma.StringCast("/ip4/9.9.9.9/tcp/9")
	p.ours.Host.Reach.Map([]ma.Multiaddr{mapped})
	first := s.await(t, append(p.ours.Host.ListenAddrs(), mapped)...)
	p.ours.Host.Reach.Map(nil)
	if second := s.await(t, p.ours.Host.ListenAddrs()...); second <= first {
		t.Errorf("record %d follows record %d", second, first)
	}
	theirs(t, p)
}

// Our record is there from the beginning of a link, whichever end dials.
func TestRecordAtTheBeginning(t *testing.T) {
	eachStack(t, func(t *testing.T, stack gopeer.Stack) {
		for _, weDial := range []bool{false, true} {
			p := newPair(t, stack, node.Config{})
			p.weDial = weDial
			s := seeing(t, p)
			p.connect(t)
			s.await(t, p.ours.Host.ListenAddrs()...)
			theirs(t, p)
		}
	})
}

// theirs checks that we keep their record, which they can read again.
func theirs(t *testing.T, p *pair) {
	t.Helper()
	var sealed []byte
	node.Await(t, "we keep their record", func() bool { sealed = p.await(t).SignedRecord; return sealed != nil })
	r, err := handshake.OpenPeerRecord(sealed)
	if err != nil || r.Key.PeerID() != p.theirs.ID().String() || len(r.Addresses) == 0 || r.Seq == 0 {
		t.Errorf("their record is %+v, %v", r, err)
	}
	if key := p.await(t).Key; key != r.Key {
		t.Errorf("the link has the key %s, the record %s", key.PeerID(), r.Key.PeerID())
	}
	_, rec, err := record.ConsumeEnvelope(sealed, peer.PeerRecordEnvelopeDomain)
	if err != nil || rec.(*peer.PeerRecord).PeerID != p.theirs.ID() {
		t.Errorf("they read %v, %v", rec, err)
	}
}

// Records of every key type are verified.
func TestRecordsOfAllKeys(t *testing.T) {
	for name, make := range map[string]func() (crypto.PrivKey, crypto.PubKey, error){
		"rsa": func() (crypto.PrivKey, crypto.PubKey, error) {
			return crypto.GenerateRSAKeyPair(2048, rand.Reader)
		},
		"ecdsa":     func() (crypto.PrivKey, crypto.PubKey, error) { return crypto.GenerateECDSAKeyPair(rand.Reader) },
		"secp256k1": func() (crypto.PrivKey, crypto.PubKey, error) { return crypto.GenerateSecp256k1Key(rand.Reader) },
	} {
		t.Run(name, func(t *testing.T) {
			key, _, err := make()
			if err != nil {
				t.Fatal(err)
			}
			p := newPair(t, gopeer.Stacks[0], node.Config{}, libp2p.Identity(key))
			p.connect(t)
			theirs(t, p)
		})
	}
}

// What go-libp2p seals we open, and the other way round, byte for byte.
func TestRecordsByteForByte(t *testing.T) {
	ours := handshake.NewIdentity([32]byte{7})
	key, err := crypto.UnmarshalEd25519PrivateKey(append(bytes.Clone(seedOf(7)), ours.Public().Raw()...))
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	addrs := []ma.Multiaddr{ma.StringCast("/ip4/1.2.3.4/tcp/5"), ma.StringCast("/dns4/example.com/udp/6/quic-v1")}
	envelope, err := record.Seal(&peer.PeerRecord{PeerID: id, Addrs: addrs, Seq: 1 << 60}, key)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := envelope.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := handshake.SealPeerRecord(t.Context(), ours, 1<<60, addrs)
	if err != nil || !bytes.Equal(sealed, theirs) {
		t.Errorf("we seal\n%x, %v, they\n%x", sealed, err, theirs)
	}
	if _, err := handshake.OpenPeerRecord(theirs); err != nil {
		t.Error(err)
	}
	theirs[len(theirs)-1] ^= 1
	var wrong *handshake.RecordError
	if _, err := handshake.OpenPeerRecord(theirs); !errors.As(err, &wrong) {
		t.Error(err)
	}
}

func seedOf(n byte) []byte { return append([]byte{n}, make([]byte, 31)...) }
