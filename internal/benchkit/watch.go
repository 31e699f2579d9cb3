package benchkit

import "time"

// Watch waits for peers to come up and go down. Call Expect for every peer first. After that one goroutine may Tell and
// one may wait for each peer. Waiting allocates nothing, so it does not distort the node's figures.
type Watch struct{ peers map[string]*watched }

type watched struct {
	states chan bool
	late   *time.Timer
}

// NewWatch returns a Watch that expects no peer.
func NewWatch() *Watch { return &Watch{peers: map[string]*watched{}} }

// Expect adds a peer.
func (w *Watch) Expect(id string) {
	p := &watched{make(chan bool, 16), time.NewTimer(time.Hour)}
	p.late.Stop()
	w.peers[id] = p
}

// Tell reports that a peer has come up or gone down. It ignores peers that are not expected.
func (w *Watch) Tell(id string, up bool) {
	if p := w.peers[id]; p != nil {
		p.states <- up
	}
}

// Within waits until the peer is up, or down, and reports whether that happened within d.
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

// Forget drops the peer's states that no Within has taken.
func (w *Watch) Forget(id string) {
	for p := w.peers[id]; len(p.states) > 0; {
		<-p.states
	}
}
