package badger

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
	"github.com/switchyard-p2p/switchyard/transport"
)

// FuzzPage wants a page taken apart as the code does that is made from the .proto file, and what it holds loaded.
func FuzzPage(f *testing.F) {
	named := "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
	now := time.Now()
	noted := newSecond(f.TempDir())
	w := writer{batch: &batch{}, second: &noted, now: now}
	c := peerstore.Changes{Gone: []transport.NodeID{storetest.ID(7), transport.NodeID(named)}}
	for n := range 3 {
		r := peerstore.Record{ID: storetest.ID(n), FirstSeen: now, Trusted: n == 1, Addresses: []peerstore.AddressRecord{{Address: storetest.Address(n, 1), Source: storetest.Told(n), LastHeard: now}}}
		c.Peers = append(c.Peers, savedOf(&r))
	}
	c.Peers = append(c.Peers, peerstore.Saved{Name: transport.NodeID(named), Height: 5})
	if err := w.changes(&c); err != nil {
		f.Fatal(err)
	}
	whole := w.batch.pages[0][1+8:]
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	packed, _ := packPage(nil, bytes.Repeat(whole, 3), nil)
	f.Add(packed)
	f.Add(packed[:len(packed)-1])
	f.Add(append(slices.Clone(packed), packed...))
	twice, _ := packPage(nil, append(slices.Clone(packed), make([]byte, 100)...), nil)
	f.Add(twice)
	f.Add(appendPeerTo(nil, []byte{8, 1}))             // without its node
	f.Add(appendGone(nil, []byte{hexNode, 1}))         // too short
	f.Add(append(slices.Clone(whole), whole...))       // each twice
	f.Add(append([]byte{0x18, 0x05}, whole...))        // a field of a later program
	f.Add(bytes.Replace(whole, []byte("pex"), nil, 1)) // lengths do not fit any more
	f.Fuzz(func(t *testing.T, data []byte) {
		var c content
		err := c.read(data)
		var want switchyardpb.StoredPage
		e := proto.Unmarshal(data, &want)
		if e == nil && err == nil && len(want.Packed) > 0 {
			inner, bad := s2.Decode(nil, want.Packed)
			if bad != nil {
				t.Fatal("read, but it cannot be unpacked: ", bad)
			}
			e = proto.Unmarshal(inner, &want) // which forgets what was there
		}
		if err == nil && e != nil {
			// What the fields of a peer are is found out when it is decoded, and some are never.
			for i, peer := range c.peers {
				if _, _, bad := decodePeer(c.nodes[i], peer); bad != nil {
					e = nil
				}
			}
			if e != nil {
				t.Fatalf("read, but by the generated code %v", e)
			}
		} else if err == nil {
			if len(want.Peers) != len(c.peers) || !slices.EqualFunc(want.Gone, c.gone, bytes.Equal) {
				t.Fatalf("%d peers, %x are gone; by the generated code %v", len(c.peers), c.gone, &want)
			}
			for i, p := range want.Peers {
				if !bytes.Equal(p.Node, c.nodes[i]) {
					t.Fatalf("node %x; by the generated code %x", c.nodes[i], p.Node)
				}
			}
		}
		l := &loader{book: peerstore.NewBook(peerstore.Limits{}, 1), now: now}
		l.restorer = l.book.Restorer(now)
		worker := worker{loader: l}
		worker.page(&page{data: data}, newTurns())
		worker.end()
		if (l.badPages == 1) != (err != nil) || l.peers > len(c.peers) || l.book.Stats().Known > l.peers {
			t.Fatalf("%v: %+v, %+v", err, l.loaded, l.book.Stats())
		}
	})
}

// TestPack wants a page to come back as it was, packed when that makes it smaller, unless it is larger than what is unpacked again, which is refused.
func TestPack(t *testing.T) {
	same := appendGone(nil, appendNode(nil, storetest.ID(1)))
	for size, packed := range map[int]bool{0: false, 1: false, 1000: true, maxPage / len(same): true, maxPage/len(same) + 1: false} {
		page := bytes.Repeat(same, size)
		got, _ := packPage(nil, page, nil)
		if packed != (len(got) < len(page)) || !packed && !bytes.Equal(got, page) {
			t.Errorf("%d bytes became %d", len(page), len(got))
		}
		var c content
		if err := c.read(got); err != nil || len(c.gone) != size {
			t.Errorf("%d of %d, %v", len(c.gone), size, err)
		}
	}
	large := protowire.AppendVarint(nil, pagePacked)
	large = protowire.AppendBytes(large, s2.Encode(nil, bytes.Repeat(same, maxPage/len(same)+1)))
	if err := new(content).read(large); err == nil || !strings.Contains(err.Error(), "131072 at most") {
		t.Error(err)
	}
}

// TestNewestHolds wants of several pages that name a peer the last to hold, and pages of a batch that was not finished to be left out.
func TestNewestHolds(t *testing.T) {
	path := t.TempDir()
	s := open(t, path, Options{})
	now := time.Now()
	flush := func() {
		t.Helper()
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 4 {
		s.Ensure(storetest.ID(n), now, func(r *peerstore.Record) { r.Height, r.Trusted = 1, n == 1 })
	}
	flush()
	s.Update(storetest.ID(0), func(r *peerstore.Record) { r.Height = 2 })
	s.Update(storetest.ID(1), func(r *peerstore.Record) { r.Trusted = false })
	s.Remove(storetest.ID(2))
	s.Remove(storetest.ID(3))
	flush()
	s.Ensure(storetest.ID(3), now, func(r *peerstore.Record) { r.Height = 3 })
	flush()
	var unfinished []byte
	for n := range 4 {
		unfinished = appendGone(unfinished, appendNode(nil, storetest.ID(n)))
	}
	put(t, s, keyOfPage(s.page+1), unfinished)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time nothing of what was left out is there any more
		log, logger := newLog()
		s = open(t, path, Options{Logger: logger})
		for n, want := range []uint64{2, 1, 0, 3} {
			if r, _ := s.Get(storetest.ID(n)); r.Height != want || r.Trusted {
				t.Errorf("peer %d is %+v", n, r)
			}
		}
		if log.text() != "" {
			t.Error(log.text())
		}
		if s.page != 5 || s.records != 9 {
			t.Errorf("%d records in %d pages", s.records, s.page)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnfinishedIsReplaced wants a page to be there that the start itself writes, in the place of one of a batch that was not finished.
func TestUnfinishedIsReplaced(t *testing.T) {
	path := t.TempDir()
	s := open(t, path, Options{})
	s.Add(storetest.Address(1, 1), storetest.Told(1), time.Now())
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, s, keyOfPage(s.page+1), nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		log, logger := newLog()
		s = open(t, path, Options{Logger: logger, now: func() time.Time { return time.Now().Add(2 * peerstore.DefaultExpiry) }})
		if pages, _ := pagesOn(t, s); s.Stats().Known > 0 || s.page != 2 || len(pages) != 2 || log.text() != "" {
			t.Errorf("%+v, pages %d up to %d; %s", s.Stats(), pages, s.page, log.text())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMissingPages wants pages that are gone to be told of once, and the rest used.
func TestMissingPages(t *testing.T) {
	path := t.TempDir()
	s := open(t, path, Options{})
	now := time.Now()
	for n := range 5 {
		s.Add(storetest.Address(n, 1), storetest.Told(n), now)
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.batch.del(keyOfPage(2))
	s.batch.del(keyOfPage(4))
	if _, _, err := s.writeBatch(0, true); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, told := range []bool{true, false} {
		log, logger := newLog()
		s = open(t, path, Options{Logger: logger})
		if n := s.Stats().Known; n != 3 {
			t.Errorf("%d are left", n)
		}
		if strings.Contains(log.text(), "missing_peers=2 missing_bans=0 missing_pages=2") != told || (log.text() != "") != told {
			t.Errorf("the log: %s", log.text())
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
