package badger

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A loader puts entries into the book and counts what it met.
type loader struct {
	book     *peerstore.Book
	now      time.Time
	copy     *copied                   // the second copy; nil: there is none
	head     *switchyardpb.StoreTotals // what it says; nil: nothing
	trusts   bool                      // the copy knows all that the database knows of bans and small values
	moved    bool                      // the store is in a new folder
	restorer *peerstore.Restorer

	repeated atomic.Bool // many peers of the last page were known from newer ones

	mu sync.Mutex
	loaded
}

// loaded is what a loader met.
type loaded struct {
	peers, bans  int // whether they could be read or not; of the peers each once
	badPages     int
	badPeers     int
	badBans      int
	badMeta      int
	badAddresses int
	version      int
	totals       *switchyardpb.StoreTotals // nil: none
	drop         [][]byte                  // keys of what cannot be read or does not hold any more
	metPages
	copyMet
}

// add adds what another one met.
func (l *loaded) add(o *loaded) {
	l.peers += o.peers
	l.bans += o.bans
	l.badPages += o.badPages
	l.badPeers += o.badPeers
	l.badBans += o.badBans
	l.badMeta += o.badMeta
	l.badAddresses += o.badAddresses
	l.version = max(l.version, o.version)
	if o.totals != nil {
		l.totals = o.totals
	}
	l.drop = append(l.drop, o.drop...)
	l.metPages.add(&o.metPages)
	l.copyMet.add(&o.copyMet)
}

// unreadable is how many values could not be read.
func (l *loaded) unreadable() int { return l.badPages + l.badPeers + l.badBans + l.badMeta }

// worker is one of a loader's goroutines. It gives the book many peers at a time.
type worker struct {
	*loader
	met     loaded
	peers   peerstore.Arrivals
	flagged []flagged // of these
	content content
	decoder decoder
	nodes   [][transport.NodeIDSize]byte
	known   []bool
}

// flagged is a peer with one of the operator's flags, as the second copy knows it.
type flagged struct {
	at         int // in worker.peers
	key, value []byte
	flags      flags
}

// batchSize is how many peers with keys of their own a worker gives the book at a time.
const batchSize = 256

// add takes an entry that is no page; it keeps nothing of key and value.
func (w *worker) add(key, value []byte) {
	drop := false
	switch key[0] {
	case peerKey:
		if w.peer(key, value); len(w.peers.Peers) == batchSize {
			w.restorer.Prepare(&w.peers)
			w.restore()
		}
	case banKey:
		w.met.bans++
		ban, err := decodeBan(key[1:], value)
		if err != nil {
			w.met.badBans++
		}
		if w.trusts {
			drop = !w.confirm(key, value)
		} else {
			drop = err != nil || !w.book.RestoreBan(ban, w.now)
			if !drop && w.copy != nil {
				w.met.holds(key)
			}
		}
	case metaKey:
		if w.trusts {
			drop = !w.confirm(key, value)
		} else if drop = !w.book.RestoreMeta(string(key[1:]), value); drop {
			w.met.badMeta++
		} else {
			w.met.keep(key, value)
		}
	case versionKey:
		if len(value) == 1 {
			w.met.version = int(value[0])
		}
	case totalsKey:
		if t := readTotals(value); t != nil {
			w.met.totals = t
		}
	}
	if drop {
		w.met.drop = append(w.met.drop, bytes.Clone(key))
	}
}

// peer reads a peer, which waits to be restored.
func (w *worker) peer(key, value []byte) {
	n := len(w.peers.Peers)
	p := w.peers.Next()
	bad, err := w.decoder.peer(p, key[1:], value)
	w.met.badAddresses += bad
	if err != nil {
		w.met.peers++
		w.met.badPeers++
		w.peers.Peers = w.peers.Peers[:n]
	} else if p.Trusted || p.Unconditional || p.Private {
		w.flagged = append(w.flagged, flagged{n, bytes.Clone(key), bytes.Clone(value), flagsOf(p.Trusted, p.Unconditional, p.Private)})
	}
}

// restore gives the book the peers that were read and prepared.
func (w *worker) restore() {
	w.restorer.Restore(&w.peers)
	for _, first := range w.peers.First {
		if first {
			w.met.peers++
		}
	}
	for _, f := range w.flagged {
		if w.peers.First[f.at] {
			w.met.flagged(f.key, f.value, f.flags)
		}
	}
	w.peers.Peers, w.flagged = w.peers.Peers[:0], w.flagged[:0]
}

// readTotals is nil when they cannot be read.
func readTotals(value []byte) *switchyardpb.StoreTotals {
	var t switchyardpb.StoreTotals
	if proto.Unmarshal(value, &t) != nil {
		return nil
	}
	return &t
}

// end gives the book the last peers, and tells the loader what was met.
func (w *worker) end() {
	w.restorer.Prepare(&w.peers)
	w.restore()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loaded.add(&w.met)
	w.met = loaded{}
}

// spans are parts of all but the pages and the small values that can be read at the same time. If peers have keys of their own, nearly all of these are of nodes whose ids are
// hashes: their first digits say where to cut.
func spans(peers bool) []span {
	all := []span{{[]byte{banKey}, []byte{metaKey}}, {[]byte{metaKey + 1}, []byte{peerKey}}, {[]byte{peerKey + 1}, nil}}
	if !peers {
		return all
	}
	const parts = 16
	from := []byte{peerKey}
	for i := range parts - 1 {
		to := []byte{peerKey, hexNode, byte((i + 1) * 256 / parts)}
		all = append(all, span{from, to})
		from = to
	}
	return append(all, span{from, []byte{peerKey + 1}})
}

// load reads all of a source. It stops early at a version that it does not know.
func (l *loader) load(from source) error {
	if err := checkVersion(from); err != nil {
		return err
	}
	value, err := from.get([]byte{totalsKey})
	if err != nil {
		return err
	}
	var totals *switchyardpb.StoreTotals
	if value != nil {
		totals = readTotals(value)
	}
	l.consult(totals)
	l.restorer = l.book.Restorer(l.now)
	defer l.restorer.End()
	// The small values first: the key that places peers is among them.
	first := worker{loader: l}
	if err := first.read(from, letter(metaKey)); err != nil {
		return err
	}
	first.end()
	l.bounds(totals)
	if err := l.pages(from); err != nil {
		return err
	}
	if l.ownKeys, err = hasAny(from, letter(peerKey)); err != nil {
		return err
	}
	all := spans(l.ownKeys && l.first == 0)
	todo := make(chan span, len(all))
	for _, s := range all {
		todo <- s
	}
	close(todo)
	var g errgroup.Group
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			w := worker{loader: l}
			defer w.end()
			for s := range todo {
				if err := w.read(from, s); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// read takes all entries of a span.
func (w *worker) read(from source, s span) error {
	return from.each(s, func(key, value []byte) error { w.add(key, value); return nil })
}

// hasAny says that a source has entries of a span.
func hasAny(from source, s span) (bool, error) {
	found := errors.New("there is one")
	err := from.each(s, func(_, _ []byte) error { return found })
	if err == found {
		return true, nil
	}
	return false, err
}

func checkVersion(from source) error {
	v, err := from.get([]byte{versionKey}) // none: new, or lost
	if err == nil && len(v) == 1 && v[0] > schemaVersion {
		return fmt.Errorf("%w (its schema is %d, this program knows %d)", ErrNewer, v[0], schemaVersion)
	}
	return err
}
