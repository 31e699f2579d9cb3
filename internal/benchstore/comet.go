package main

import (
	"path/filepath"

	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/pex"
)

// cometBook is CometBFT's address book.
type cometBook struct {
	book    pex.AddrBook
	peers   []peer
	from    int
	made    []*p2p.NetAddress
	sources []*p2p.NetAddress // who reported each
}

func openComet(dir string, peers []peer) (book, error) {
	b := pex.NewAddrBook(filepath.Join(dir, "addrbook.json"), true)
	return &cometBook{book: b, peers: peers}, b.Start() // Start loads
}

func (b *cometBook) address(i int) *p2p.NetAddress {
	a := p2p.NewNetAddressIPPort(b.peers[i].ip.AsSlice(), port)
	a.ID = p2p.ID(b.peers[i].hexID())
	return a
}

func (b *cometBook) prepare(from, to int) {
	b.from, b.made, b.sources = from, make([]*p2p.NetAddress, 0, to-from), make([]*p2p.NetAddress, 0, to-from)
	for i := from; i < to; i++ {
		b.made = append(b.made, b.address(i))
		if source := b.peers[i].source; i > from && source == b.peers[i-1].source {
			b.sources = append(b.sources, b.sources[i-from-1])
		} else {
			b.sources = append(b.sources, b.address(source))
		}
	}
}

func (b *cometBook) learned() { b.made, b.sources = nil, nil }

// add ignores the error of an address that has no place in the buckets.
func (b *cometBook) add(i int) { _ = b.book.AddAddress(b.made[i-b.from], b.sources[i-b.from]) }

// pick has the bias of CometBFT's reactor with four outbound peers of ten.
func (b *cometBook) pick() bool { return b.book.PickAddress(50) != nil }

func (b *cometBook) fail() bool {
	a := b.book.PickAddress(50)
	if a != nil {
		b.book.MarkAttempt(a)
	}
	return a != nil
}

func (b *cometBook) advertise() int { return len(b.book.GetSelection()) }
func (b *cometBook) held() int      { return b.book.Size() }
func (b *cometBook) written() error { return nil }

// close ends the goroutine that saves, which saves once more.
func (b *cometBook) close() error {
	err := b.book.Stop()
	b.book.(interface{ Wait() }).Wait()
	return err
}
