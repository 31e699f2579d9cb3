package badger

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
	"github.com/switchyard-p2p/switchyard/transport"
)

// appendRecord is appendPeer by way of what all other calls give.
func appendRecord(dst []byte, r *peerstore.Record) []byte {
	b := encoder(dst)
	for i := range r.Addresses {
		a := &r.Addresses[i]
		var e encoder
		if p, ok := a.Address.Pack(); ok {
			e.bytes(addrIP, netip.AddrFrom16(p.IP).Unmap().AsSlice())
			e.number(addrPort, uint64(p.Port))
		} else {
			e.text(addrText, a.Address.String())
		}
		e.text(addrSource, a.Source.Kind)
		if a.Source.From != "" {
			e.bytes(addrFrom, appendNode(nil, a.Source.From))
		}
		for tag, t := range []time.Time{addrFirstHeard >> 3: a.FirstHeard, addrLastHeard >> 3: a.LastHeard, addrLastDialed >> 3: a.LastDialed, addrLastSuccess >> 3: a.LastSuccess} {
			e.time(uint64(tag)<<3|fixed64, int64(stamp(t)))
		}
		e.number(addrFailures, uint64(a.Failures))
		e.time(addrNotBefore, int64(stamp(a.NotBefore)))
		e.text(addrLastError, a.LastError)
		e.bytes(addrFromIP, a.Source.IP.AsSlice())
		b = protowire.AppendBytes(protowire.AppendVarint(b, peerAddress), e)
	}
	b.time(peerFirstSeen, int64(stamp(r.FirstSeen)))
	b.bool(peerTrusted, r.Trusted)
	b.bool(peerUnconditional, r.Unconditional)
	b.bool(peerPrivate, r.Private)
	b.number(peerScore, protowire.EncodeZigZag(int64(r.Score)))
	b.time(peerScored, int64(stamp(r.Scored)))
	b.number(peerHeight, r.Height)
	b.time(peerLastConnected, int64(stamp(r.LastConnected)))
	b.time(peerLastDisconnected, int64(stamp(r.LastDisconnected)))
	b.number(peerFailures, uint64(r.Failures))
	b.time(peerNotBefore, int64(stamp(r.NotBefore)))
	b.time(peerQuarantined, int64(stamp(r.Quarantined)))
	b.text(peerQuarantineReason, r.QuarantineReason)
	b.bool(peerInTried, r.InTried)
	return b
}

// TestEncode wants what is written straight from the book's form to be, to the byte, what a peer's record says.
func TestEncode(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	some := func() time.Time {
		switch random.IntN(4) {
		case 0:
			return time.Time{}
		case 1:
			return time.Unix(1<<62, 0) // for ever
		}
		return time.Unix(0, 1+random.Int64N(1<<61))
	}
	text := func() string {
		return []string{"", "refused", "é" + string(bytes.Repeat([]byte("x"), 200))}[random.IntN(3)]
	}
	ids := []transport.NodeID{storetest.ID(1), storetest.ID(0xabcdef), "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"}
	wheres := []string{"/ip4/1.2.3.4/tcp/5", "/ip4/255.1.0.254/tcp/65535", "/ip6/2001:db8::1/tcp/26656", "/dns/a.example/tcp/5", "/ip4/1.2.3.4/tcp/5/tls"}
	for range rounds(t, 2000) {
		b := peerstore.NewBook(peerstore.Limits{}, 1)
		b.Track()
		id := ids[random.IntN(len(ids))]
		b.Ensure(id, time.Now(), func(r *peerstore.Record) {
			r.FirstSeen, r.Scored, r.LastConnected, r.LastDisconnected, r.NotBefore, r.Quarantined = some(), some(), some(), some(), some(), some()
			r.Trusted, r.Unconditional, r.Private, r.Busy = random.IntN(2) == 0, random.IntN(2) == 0, random.IntN(2) == 0, random.IntN(2) == 0
			r.Score, r.Height, r.Failures, r.QuarantineReason = int16(random.IntN(201)-100), random.Uint64()>>random.IntN(64), random.Uint32()>>random.IntN(32), text()
			for _, i := range random.Perm(len(wheres))[:random.IntN(len(wheres)+1)] {
				a, err := transport.ParseAddress(fmt.Sprint(wheres[i], "/mconn/", id))
				if err != nil {
					a, err = transport.ParseAddress(fmt.Sprint(wheres[i], "/p2p/", id))
				}
				if err != nil {
					t.Fatal(err)
				}
				from := peerstore.Source{Kind: []string{"pex", "config", "x"}[random.IntN(3)], From: []transport.NodeID{"", ids[0], ids[2]}[random.IntN(3)],
					IP: []netip.Addr{{}, netip.MustParseAddr("1.2.3.4"), netip.MustParseAddr("2001:db8::5")}[random.IntN(3)]}
				r.Addresses = append(r.Addresses, peerstore.AddressRecord{Address: a, Source: from, FirstHeard: some(), LastHeard: some(), LastDialed: some(),
					LastSuccess: some(), NotBefore: some(), Failures: random.Uint32() >> random.IntN(32), LastError: text()})
			}
		})
		r, ok := b.Get(id)
		var c peerstore.Changes
		b.TakeChanges(1, &c)
		if !ok || len(c.Peers) != 1 {
			t.Fatal(ok, len(c.Peers))
		}
		p := &c.Peers[0]
		if got, want := appendPeer(nil, p), appendRecord(nil, &r); !bytes.Equal(got, want) {
			t.Fatalf("%+v\nis written as %x, want %x", r, got, want)
		}
		if again := p.Record(); !storetest.Equal(r, again) || again.Busy != r.Busy || !unstamp(uint64(p.LastSeen())).Equal(unstamp(stamp(r.LastSeen()))) {
			t.Fatalf("%+v\nwas saved as %+v", r, again)
		}
		again := savedOf(&r)
		if !bytes.Equal(appendPeer(nil, &again), appendPeer(nil, p)) {
			t.Fatalf("%+v\nis not %+v", again, p)
		}
	}
}

// savedOf is a record in the form in which the book gives it to the writer.
func savedOf(r *peerstore.Record) peerstore.Saved {
	nano := func(t time.Time) int64 { return int64(stamp(t)) }
	s := peerstore.Saved{
		FirstSeen: nano(r.FirstSeen), Scored: nano(r.Scored), LastConnected: nano(r.LastConnected), LastDisconnected: nano(r.LastDisconnected),
		NotBefore: nano(r.NotBefore), Quarantined: nano(r.Quarantined), QuarantineReason: r.QuarantineReason, Height: r.Height, Failures: r.Failures,
		Score: r.Score, Trusted: r.Trusted, Unconditional: r.Unconditional, Private: r.Private, InTried: r.InTried, Busy: r.Busy,
	}
	if raw, ok := r.ID.Bytes(); ok {
		s.Node = raw
	} else {
		s.Name = r.ID
	}
	for _, a := range r.Addresses {
		one := peerstore.SavedAddress{
			Source: a.Source, FirstHeard: nano(a.FirstHeard), LastHeard: nano(a.LastHeard), LastDialed: nano(a.LastDialed), LastSuccess: nano(a.LastSuccess),
			NotBefore: nano(a.NotBefore), LastError: a.LastError, Failures: a.Failures,
		}
		if p, ok := a.Address.Pack(); ok {
			one.Packed = p
		} else {
			one.Other = a.Address
		}
		s.Addresses = append(s.Addresses, one)
	}
	return s
}
