package main

import (
	"net"
	"time"

	"github.com/btcsuite/btcd/addrmgr"
	"github.com/btcsuite/btcd/wire/v2"
)

// btcdBook is btcd's address manager.
type btcdBook struct {
	book    *addrmgr.AddrManager
	peers   []peer
	from    int
	made    []*wire.NetAddressV2
	sources []*wire.NetAddressV2 // who reported each
	now     time.Time
}

func openBtcd(dir string, peers []peer) (book, error) {
	b := &btcdBook{book: addrmgr.New(dir, net.LookupIP), peers: peers, now: time.Now()}
	b.book.Start() // loads
	return b, nil
}

func (b *btcdBook) address(i int) *wire.NetAddressV2 {
	return wire.NetAddressV2FromBytes(b.now, wire.SFNodeNetwork, b.peers[i].ip.AsSlice(), port)
}

func (b *btcdBook) prepare(from, to int) {
	b.from, b.made, b.sources = from, make([]*wire.NetAddressV2, 0, to-from), make([]*wire.NetAddressV2, 0, to-from)
	for i := from; i < to; i++ {
		b.made = append(b.made, b.address(i))
		if source := b.peers[i].source; i > from && source == b.peers[i-1].source {
			b.sources = append(b.sources, b.sources[i-from-1])
		} else {
			b.sources = append(b.sources, b.address(source))
		}
	}
}

func (b *btcdBook) learned()   { b.made, b.sources = nil, nil }
func (b *btcdBook) add(i int)  { b.book.AddAddress(b.made[i-b.from], b.sources[i-b.from]) }
func (b *btcdBook) pick() bool { return b.book.GetAddress() != nil }

func (b *btcdBook) fail() bool {
	a := b.book.GetAddress()
	if a != nil {
		b.book.Attempt(a.NetAddress())
	}
	return a != nil
}

func (b *btcdBook) advertise() int { return len(b.book.AddressCache()) }
func (b *btcdBook) held() int      { return b.book.NumAddresses() }
func (b *btcdBook) written() error { return nil }
func (b *btcdBook) close() error   { return b.book.Stop() } // saves
