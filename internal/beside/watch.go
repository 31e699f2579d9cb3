package beside

import "time"

// Watch waits for peers to come and go, as a node tells of them. Expect comes first, for all peers; the rest may be called from several goroutines, for one
// peer by one that tells and one that waits. Waiting allocates nothing, so that it does not count as the node's.
type Watch struct{ peers map[string]*watched }

type watched struct {
	states chan bool
	late   *time.Timer
}

func NewWatch() *Watch { return &Watch{peers: map[string]*watched{}} }

// Expect makes room for a peer's states.
func (w *Watch) Expect(id string) {
	p := &watched{make(chan bool, 16), time.NewTimer(time.Hour)}
	p.late.Stop()
	w.peers[id] = p
}

// Tell says that a peer has come or gone. Peers that are not expected do not count.
func (w *Watch) Tell(id string, up bool) {
	if p := w.peers[id]; p != nil {
		p.states <- up
	}
}

// Within returns true once the peer has come, or gone; false when d is over.
func (w *Watch) Within(d time.Duration, id string, up bool) bool {
	p := w.peers[id]
	p.late.Reset(d)
	defer p.late.Stop()
	for {
		select {
		case now := <-p.states:
			if now == up {
				return true
			}
		case <-p.late.C:
			return false
		}
	}
}

// Forget drops what was told of the peer.
func (w *Watch) Forget(id string) {
	for p := w.peers[id]; len(p.states) > 0; {
		<-p.states
	}
}
