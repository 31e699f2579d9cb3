package badger

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
	"github.com/switchyard-p2p/switchyard/transport"
)

// FuzzDecode wants values that cannot be read refused, and what can be read to come out the same after it is written again.
func FuzzDecode(f *testing.F) {
	now := time.Now()
	r := peerstore.Record{ID: storetest.ID(1), Trusted: true, Score: -5, FirstSeen: now, QuarantineReason: "r", Addresses: []peerstore.AddressRecord{{
		Address: storetest.Address(1, 1), Source: peerstore.Source{Kind: "pex", From: storetest.ID(2)}, LastHeard: now, LastError: "e",
	}}}
	value := appendRecord(nil, &r)
	f.Add(appendNode([]byte{peerKey}, r.ID), value)
	for _, where := range []string{"/ip6/2001:db8::1/tcp/5", "/dns/a.example/tcp/5", "/ip4/1.2.3.4/tcp/5/tls"} {
		a, err := transport.ParseAddress(where + "/mconn/" + string(r.ID))
		if err != nil {
			f.Fatal(err)
		}
		other := peerstore.Record{ID: r.ID, Addresses: []peerstore.AddressRecord{{Address: a}, r.Addresses[0]}}
		f.Add(appendNode([]byte{peerKey}, r.ID), appendRecord(nil, &other))
	}
	old, err := proto.Marshal(&switchyardpb.StoredPeer{Addresses: []*switchyardpb.StoredAddress{{Address: storetest.Address(1, 1).String(), Failures: 3}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(appendNode([]byte{peerKey}, r.ID), old)
	f.Add(appendNode([]byte{peerKey}, "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"), value)
	ban := peerstore.Ban{Since: now, Until: now, Reason: "x"}
	value, err = encodeBan(&ban)
	if err != nil {
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
		l.restorer = l.book.Restorer(now)
		w := worker{loader: l}
		w.add(key, value)
		w.end()
		switch key[0] {
		case peerKey:
			r, bad, err := decodePeer(key[1:], value)
			if want, wantBad, wantErr := generatedPeer(key[1:], value); (err == nil) != (wantErr == nil) || err == nil && (bad != wantBad || !storetest.Equal(r, want)) {
				t.Fatalf("%v %d\n%+v\nby the generated code %v %d\n%+v", err, bad, r, wantErr, wantBad, want)
			}
			if err != nil {
				return
			}
			p := savedOf(&r)
			again := appendPeer(nil, &p)
			if want := appendRecord(nil, &r); !bytes.Equal(again, want) {
				t.Fatalf("%+v\nis written as %x, want %x", r, again, want)
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
		if e.key[0] == pageKey {
			var c content
			if err := c.read(e.value); err != nil {
				f.Fatal(err)
			}
			n += len(c.peers)
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

// generatedPeer is decodePeer by the code that is made from the .proto file.
func generatedPeer(key, value []byte) (r peerstore.Record, bad int, err error) {
	id, err := parseNode(key)
	if err != nil || id == "" {
		return r, 0, errors.Join(err, errors.New("no node id"))
	}
	var p switchyardpb.StoredPeer
	if err := proto.Unmarshal(value, &p); err != nil {
		return r, 0, err
	}
	r = peerstore.Record{
		ID: id, FirstSeen: unstamp(p.FirstSeen),
		Trusted: p.Trusted, Unconditional: p.Unconditional, Private: p.Private,
		Score: int16(min(max(p.Score, peerstore.MinScore), peerstore.MaxScore)), Scored: unstamp(p.Scored), Height: p.Height,
		LastConnected: unstamp(p.LastConnected), LastDisconnected: unstamp(p.LastDisconnected),
		Failures: p.Failures, NotBefore: unstamp(p.NotBefore),
		Quarantined: unstamp(p.Quarantined), QuarantineReason: p.QuarantineReason,
		InTried: p.InTried,
	}
	for _, s := range p.Addresses {
		text := s.Address
		if len(s.Ip) > 0 {
			ip, ok := netip.AddrFromSlice(s.Ip)
			text = fmt.Sprintf("%s@%s", id, netip.AddrPortFrom(ip.Unmap(), uint16(s.Port)))
			if !ok || s.Port > math.MaxUint16 || key[0] != hexNode {
				text = ""
			}
		}
		addr, err := transport.ParseAddress(text)
		from, ferr := parseNode(s.From)
		if err != nil || ferr != nil || addr.ID() != id {
			bad++
			continue
		}
		ip, _ := netip.AddrFromSlice(s.FromIp)
		r.Addresses = append(r.Addresses, peerstore.AddressRecord{
			Address: addr, Source: peerstore.Source{Kind: s.Source, From: from, IP: ip},
			FirstHeard: unstamp(s.FirstHeard), LastHeard: unstamp(s.LastHeard),
			LastDialed: unstamp(s.LastDialed), LastSuccess: unstamp(s.LastSuccess),
			Failures: s.Failures, NotBefore: unstamp(s.NotBefore), LastError: s.LastError,
		})
	}
	return r, bad, nil
}
