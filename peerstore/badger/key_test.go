package badger

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	bdb "github.com/dgraph-io/badger/v4"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// TestBucketKey wants the key that places peers in buckets to stay the same from run to run.
func TestBucketKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	key := s.Meta("peerstore/key")
	if len(key) != 16 {
		t.Fatalf("%x", key)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if again := open(t, path, Options{}).Meta("peerstore/key"); !bytes.Equal(again, key) {
		t.Fatalf("%x, then %x", key, again)
	}
	if other := open(t, filepath.Join(t.TempDir(), "peers"), Options{}).Meta("peerstore/key"); bytes.Equal(other, key) {
		t.Fatal("two stores have the same key")
	}
}

// TestFirstSchema wants the peers of a store of schema 1, whose addresses are texts and whose peers have a key each, and the store to be one of the current schema then.
func TestFirstSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	s := open(t, path, Options{})
	now := time.Now().Round(0)
	var want []peerstore.Record
	for n := range 10 {
		a := storetest.Address(n, 1)
		p := &switchyardpb.StoredPeer{
			FirstSeen: stamp(now), Height: uint64(n),
			Addresses: []*switchyardpb.StoredAddress{{Address: a.String(), Source: "pex", From: appendNode(nil, storetest.ID(n+100)), FirstHeard: stamp(now), LastHeard: stamp(now)}},
		}
		value, err := proto.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, appendNode([]byte{peerKey}, a.ID()), value)
		source := peerstore.Source{Kind: "pex", From: storetest.ID(n + 100)}
		want = append(want, peerstore.Record{ID: a.ID(), FirstSeen: now, Height: uint64(n), Addresses: []peerstore.AddressRecord{{Address: a, Source: source, FirstHeard: now, LastHeard: now}}})
	}
	put(t, s, []byte{versionKey}, []byte{1})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		log, logger := newLog()
		s = open(t, path, Options{Logger: logger})
		if log.text() != "" {
			t.Error(log.text())
		}
		for i := range want {
			if s.Stats().Known != len(want) {
				t.Fatalf("%+v", s.Stats())
			}
			if r, ok := s.Get(want[i].ID); !ok || !storetest.Equal(r, want[i]) {
				t.Fatalf("%+v\nwant %+v", r, want[i])
			}
			s.Update(want[i].ID, func(r *peerstore.Record) { r.Height++ }) // which writes it in the current form
			want[i].Height++
		}
		if err := s.db.View(func(txn *bdb.Txn) error {
			item, err := txn.Get([]byte{versionKey})
			if err != nil {
				return err
			}
			return item.Value(func(v []byte) error {
				if len(v) != 1 || v[0] != schemaVersion {
					t.Errorf("version %x", v)
				}
				return nil
			})
		}); err != nil {
			t.Fatal(err)
		}
		if pages, peers := pagesOn(t, s); len(pages) == 0 || peers > 0 {
			t.Errorf("%d pages, and %d peers have keys of their own", len(pages), peers)
		}
		if s.first == 0 {
			t.Error("peers with keys of their own would count")
		}
		// One that a kill left behind does not count any more.
		put(t, s, appendNode([]byte{peerKey}, storetest.ID(50)), appendRecord(nil, &peerstore.Record{Height: 1}))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
