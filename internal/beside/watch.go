package beside

import "time"

// Watch waits for peers to come and go, as a node tells of them. Expect comes first, for all peers; the rest may be called from several goroutines.
type Watch struct{ states map[string]chan bool }

func NewWatch() *Watch { return &Watch{states: map[string]chan bool{}} }

// Expect makes room for a peer's states.
func (w *Watch) Expect(id string) { w.states[id] = make(chan bool, 16) }

// Tell says that a peer has come or gone. Peers that are not expected do not count.
func (w *Watch) Tell(id string, up bool) {
	if c := w.states[id]; c != nil {
		c <- up
	}
}

// Within returns true once the peer has come, or gone; false when d is over.
func (w *Watch) Within(d time.Duration, id string, up bool) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case now := <-w.states[id]:
			if now == up {
				return true
			}
		case <-timer.C:
			return false
		}
	}
}

// Forget drops what was told of the peer.
func (w *Watch) Forget(id string) {
	for len(w.states[id]) > 0 {
		<-w.states[id]
	}
}
