package main

import (
	"context"
	"io"
	"path/filepath"
	"time"

	ds "github.com/ipfs/go-datastore"
	leveldb "github.com/ipfs/go-ds-leveldb"
	lpeer "github.com/libp2p/go-libp2p/core/peer"
	//lint:ignore SA1019 deprecated, but what go-libp2p has for the disk
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoreds"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	ma "github.com/multiformats/go-multiaddr"
)

// libp2pBook is one of go-libp2p's address books. They choose no peers; programs that use them do that themselves.
type libp2pBook struct {
	book interface {
		AddAddrs(lpeer.ID, []ma.Multiaddr, time.Duration)
		PeersWithAddrs() lpeer.IDSlice
		io.Closer
	}
	store ds.Batching // beneath it, where there is one
	peers []peer
	from  int
	made  []libp2pPeer
}

type libp2pPeer struct {
	id    lpeer.ID
	addrs []ma.Multiaddr
}

// lifetime is that of addresses learned by identify.
const lifetime = time.Hour

func openLibp2pMemory(_ string, peers []peer) (book, error) {
	return &libp2pBook{book: pstoremem.NewAddrBook(pstoremem.WithMaxAddresses(len(peers) + 1)), peers: peers}, nil
}

func openLibp2pStore(dir string, peers []peer) (book, error) {
	store, err := leveldb.NewDatastore(filepath.Join(dir, "leveldb"), nil)
	if err != nil {
		return nil, err
	}
	b, err := pstoreds.NewAddrBook(context.Background(), store, pstoreds.DefaultOpts())
	return &libp2pBook{book: b, store: store, peers: peers}, err
}

func (b *libp2pBook) prepare(from, to int) {
	b.from, b.made = from, make([]libp2pPeer, 0, to-from)
	for i := from; i < to; i++ {
		p := &b.peers[i]
		addr, err := ma.NewMultiaddr("/ip4/" + p.ip.String() + "/tcp/26656")
		if err != nil {
			panic(err) // a mistake in makePeers
		}
		id := append([]byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}, p.key[:]...) // the multihash of an ed25519 key
		b.made = append(b.made, libp2pPeer{lpeer.ID(id), []ma.Multiaddr{addr}})
	}
}

func (b *libp2pBook) learned() { b.made = nil }

func (b *libp2pBook) add(i int) {
	p := &b.made[i-b.from]
	b.book.AddAddrs(p.id, p.addrs, lifetime)
}

func (b *libp2pBook) pick() bool     { return false }
func (b *libp2pBook) fail() bool     { return false }
func (b *libp2pBook) advertise() int { return 0 }
func (b *libp2pBook) held() int      { return len(b.book.PeersWithAddrs()) }
func (b *libp2pBook) written() error { return nil }

func (b *libp2pBook) close() error {
	err := b.book.Close()
	if b.store != nil {
		err = b.store.Close()
	}
	return err
}
