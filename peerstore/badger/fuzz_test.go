package badger

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
)

// FuzzDecode wants values that cannot be read refused, and what can be read to come out the same after it is written again.
func FuzzDecode(f *testing.F) {
	now := time.Now()
	r := peerstore.Record{ID: storetest.ID(1), Trusted: true, Score: -5, FirstSeen: now, QuarantineReason: "r", Addresses: []peerstore.AddressRecord{{
		Address: storetest.Address(1, 1), Source: peerstore.Source{Kind: "pex", From: storetest.ID(2)}, LastHeard: now, LastError: "e",
	}}}
	value, err := encodePeer(&r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(appendNode([]byte{peerKey}, r.ID), value)
	f.Add(appendNode([]byte{peerKey}, "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"), value)
	ban := peerstore.Ban{Since: now, Until: now, Reason: "x"}
	if value, err = encodeBan(&ban); err != nil {
		f.Fatal(err)
	}
	f.Add(nameKey(banKey, "192.0.2.0/24"), value)
	f.Add(nameKey(metaKey, "anchors"), []byte("x"))
	f.Add([]byte{totalsKey}, []byte{8, 1, 16, 2})
	f.Add([]byte{versionKey}, []byte{1})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if len(key) == 0 {
			return
		}
		l := &loader{book: peerstore.NewBook(peerstore.Limits{}, 1), now: now}
		l.add(key, value)
		switch key[0] {
		case peerKey:
			r, _, err := decodePeer(key[1:], value)
			if err != nil {
				return
			}
			again, err := encodePeer(&r)
			if err != nil {
				t.Fatal(err)
			}
			r2, bad, err := decodePeer(appendNode(nil, r.ID), again)
			if err != nil || bad > 0 || !storetest.Equal(r, r2) {
				t.Fatalf("%v %d\n%+v\n%+v", err, bad, r, r2)
			}
		case banKey:
			b, err := decodeBan(key[1:], value)
			if err != nil {
				return
			}
			again, err := encodeBan(&b)
			if err != nil {
				t.Fatal(err)
			}
			b2, err := decodeBan([]byte(b.Target.String()), again)
			if err != nil || b2.Target != b.Target || !b2.Until.Equal(b.Until) || b2.Reason != b.Reason {
				t.Fatalf("%v\n%+v\n%+v", err, b, b2)
			}
		}
	})
}

// FuzzFiles wants no damage of a table or log to end the reader.
func FuzzFiles(f *testing.F) {
	path := filepath.Join(f.TempDir(), "peers")
	s := open(f, path, Options{})
	for n := range 5 {
		s.Add(storetest.Address(n, 1), storetest.Told(n), time.Now())
	}
	if err := s.Flush(f.Context()); err != nil {
		f.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(path, "00001.mem"))
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	table, err := os.ReadFile(filepath.Join(path, "000001.sst"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(true, table)
	f.Add(false, log[:2048])
	n := 0
	count := func(e found) {
		if e.key[0] == peerKey {
			n++
		}
	}
	if err := readTable(table, count); err != nil || n != 5 {
		f.Fatal("the table itself:", err, n)
	}
	f.Fuzz(func(t *testing.T, isTable bool, data []byte) {
		read := readLog
		if isTable {
			read = readTable
		}
		_ = read(data, func(e found) {
			if len(e.key) > len(data) || len(e.value) > len(data) {
				t.Fatal("more than there is")
			}
		})
	})
}
