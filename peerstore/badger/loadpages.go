package badger

import (
	"bytes"
	"math"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/transport"
)

// metPages is what a loader met of pages.
type metPages struct {
	first, last uint64 // those that count
	highest     uint64 // that was met of these
	oldest      uint64 // that is there and does not count; 0: none
	met         int    // how many that count are there, whether they can be read or not
	records     int    // in them
	ownKeys     bool   // peers have keys of their own
}

func (m *metPages) add(o *metPages) {
	m.highest = max(m.highest, o.highest)
	m.met += o.met
	m.records += o.records
}

// bounds says which pages count.
func (l *loader) bounds(totals *switchyardpb.StoreTotals) {
	l.first, l.last = totals.GetFirst(), max(totals.GetPage(), l.head.GetPage())
	if totals == nil && l.head == nil {
		l.last = math.MaxUint64
	}
}

// gap is how many pages are missing.
func (m *metPages) gap() int64 {
	last := m.last
	if last == math.MaxUint64 {
		last = m.highest
	}
	return max(int64(last-max(m.first, 1))+1-int64(m.met), 0)
}

// page is one on its way from the database to the book.
type page struct {
	turn   int // pages are restored one after the other
	number uint64
	data   []byte
}

// turns lets goroutines do something one after the other.
type turns struct {
	mu   sync.Mutex
	cond sync.Cond
	next int
}

func newTurns() *turns {
	t := &turns{}
	t.cond.L = &t.mu
	return t
}

// do calls fn when do has returned for all turns before.
func (t *turns) do(turn int, fn func()) {
	t.mu.Lock()
	for t.next != turn {
		t.cond.Wait()
	}
	t.mu.Unlock()
	fn()
	t.mu.Lock()
	t.next++
	t.cond.Broadcast()
	t.mu.Unlock()
}

// pages reads all pages, the newest first: of each peer the first record holds. Several are decoded at the same time, and restored in their order.
func (l *loader) pages(from source) error {
	workers := runtime.GOMAXPROCS(0)
	todo := make(chan *page, 2*workers)
	free := make(chan *page, 4*workers)
	turns := newTurns()
	var g errgroup.Group
	g.Go(func() error {
		defer close(todo)
		return l.readPages(from, func() *page {
			select {
			case p := <-free:
				return p
			default:
				return &page{}
			}
		}, todo)
	})
	for range workers {
		g.Go(func() error {
			w := worker{loader: l}
			defer w.end()
			for p := range todo {
				w.page(p, turns)
				select {
				case free <- p:
				default:
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// readPages sends all pages that count, and notes which others there are.
func (l *loader) readPages(from source, empty func() *page, to chan<- *page) error {
	turn, oldest := 0, uint64(0)
	var drop [][]byte
	err := from.back(letter(pageKey), func(key, value []byte) error {
		number, ok := numberOfPage(key)
		switch {
		case !ok || number > l.last: // of a batch that was not finished
			drop = append(drop, bytes.Clone(key))
		case number < l.first:
			oldest = number
		default:
			p := empty()
			p.turn, p.number, p.data = turn, number, append(p.data[:0], value...)
			turn++
			to <- p
		}
		return nil
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.oldest, l.drop = oldest, append(l.drop, drop...)
	return err
}

// page reads a page, and restores it when it is its turn.
func (w *worker) page(p *page, turns *turns) {
	w.met.met++
	w.met.highest = max(w.met.highest, p.number)
	if err := w.content.read(p.data); err != nil {
		w.met.badPages++
		turns.do(p.turn, func() {})
		return
	}
	w.met.records += len(w.content.nodes) + len(w.content.gone)
	w.decode()
	w.restorer.Prepare(&w.peers)
	turns.do(p.turn, w.restorePage)
}

// decode reads those peers of a page that are not known yet from a newer one. Where few are known all are read, as to ask waits for the pages before, which are being restored.
func (w *worker) decode() {
	w.nodes, w.known = w.nodes[:0], w.known[:0]
	if !w.repeated.Load() {
		for i, node := range w.content.nodes {
			w.decodePeer(node, w.content.peers[i])
		}
		return
	}
	for _, node := range w.content.nodes {
		if node[0] == hexNode {
			w.nodes = append(w.nodes, [transport.NodeIDSize]byte(node[1:]))
		}
	}
	w.known = w.restorer.Known(w.nodes, w.known)
	hex := 0
	for i, node := range w.content.nodes {
		if node[0] == hexNode {
			hex++
			if w.known[hex-1] {
				continue
			}
		}
		w.decodePeer(node, w.content.peers[i])
	}
}

func (w *worker) decodePeer(node, value []byte) {
	var room [128]byte
	w.peer(append(append(room[:0], peerKey), node...), value)
}

func (w *worker) restorePage() {
	before := w.met.peers
	w.restore()
	if all := len(w.content.nodes); all > 0 {
		const few = 4
		w.repeated.Store(few*(all-(w.met.peers-before)) > all)
	}
	for _, node := range w.content.gone {
		if id, err := parseNode(node); err == nil {
			w.restorer.Gone(id)
		}
	}
}

// pagesOf takes pages that were read of damaged files, all of them: the totals may be lost. It removes them from what was read.
func (w *worker) pagesOf(latest map[string]found) {
	var all []*page
	for key, f := range latest {
		if number, ok := numberOfPage([]byte(key)); ok {
			if !f.deleted && number >= w.first {
				all = append(all, &page{number: number, data: f.value})
			}
			delete(latest, key)
		}
	}
	slices.SortFunc(all, func(a, b *page) int { return bytes.Compare(keyOfPage(b.number), keyOfPage(a.number)) })
	turns := newTurns()
	for i, p := range all {
		p.turn = i
		w.page(p, turns)
	}
}
