package cometbft

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/cometbft/cometbft/p2p"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/transfer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// bookRead is the name of the store's value that says that addrbook.json was read.
const bookRead = "cometbft/addrbook"

// importBook reads CometBFT's address book at the first start. One that cannot be read costs its addresses alone.
func (y *yard) importBook(store peerstore.Store) {
	path := y.config.P2P.AddrBookFile()
	if !y.config.P2P.PexReactor || store.Meta(bookRead) != nil {
		return
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		y.logger.Error("Cannot read the address book", "file", path, "err", err)
		return
	}
	defer f.Close()
	in, err := transfer.Import(f, store, time.Now())
	if err != nil {
		y.logger.Error("Cannot read all of the address book", "file", path, "err", err)
	}
	store.SetMeta(bookRead, []byte(time.Now().UTC().Format(time.RFC3339)))
	y.logger.Info("Read the address book", "file", path, "peers", in.Peers, "addresses", in.Addresses, "bad", in.Bad)
}

// book is the Switch's address book over the host's peer manager. Before the host runs there is nobody to tell: the
// configured peers are the manager's anyway.
type book struct{ *yard }

var _ p2p.AddrBook = book{}

func (b book) manager() *peers.Manager {
	if h := b.host.Load(); h != nil {
		return h.PeerManager()
	}
	return nil
}

// AddAddress implements p2p.AddrBook: RPC's dial_peers and dial_seeds learn addresses in this way.
func (b book) AddAddress(addr, _ *p2p.NetAddress) error {
	m := b.manager()
	if m == nil {
		return nil
	}
	a, err := transport.CometAddress(transport.NodeID(addr.ID), addr.IP.String(), addr.Port)
	if err != nil {
		return err
	}
	return m.Add(a, peerstore.Source{Kind: peerstore.SourceOperator})
}

// AddPrivateIDs implements p2p.AddrBook.
func (b book) AddPrivateIDs(ids []string) {
	for _, id := range ids {
		b.roles.setPrivate(transport.NodeID(id))
	}
}

// AddOurAddress implements p2p.AddrBook: the manager knows our id.
func (book) AddOurAddress(*p2p.NetAddress) {}

// OurAddress implements p2p.AddrBook.
func (b book) OurAddress(addr *p2p.NetAddress) bool { return addr.ID == b.info.ID() }

// goodPoints are what a peer earns when a reactor calls it good, which consensus does for 10,000 votes or parts.
const goodPoints = 10

// MarkGood implements p2p.AddrBook.
func (b book) MarkGood(id p2p.ID) {
	if h := b.host.Load(); h != nil {
		h.Report(transport.NodeID(id), host.Behaviour{Points: goodPoints, Reason: "useful to a reactor"})
	}
}

// RemoveAddress implements p2p.AddrBook: the Switch removes our own address, which the manager never dials.
func (book) RemoveAddress(*p2p.NetAddress) {}

// HasAddress implements p2p.AddrBook.
func (b book) HasAddress(addr *p2p.NetAddress) bool {
	m := b.manager()
	if m == nil {
		return false
	}
	for _, known := range m.Addresses(transport.NodeID(addr.ID)) {
		if ip, port, ok := hostPort(known.Multiaddr()); ok && ip.Equal(addr.IP) && port == addr.Port {
			return true
		}
	}
	return false
}

// Save implements p2p.AddrBook: the store writes by itself.
func (book) Save() {}
