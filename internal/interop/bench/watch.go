package main

import "time"

// watch waits for peers to come and go, as a node tells of them.
type watch struct{ states map[string]chan bool }

func newWatch() *watch { return &watch{states: map[string]chan bool{}} }

// expect makes room for a peer's states; all peers are expected before any is told of.
func (w *watch) expect(id string) { w.states[id] = make(chan bool, 16) }

func (w *watch) tell(id string, up bool) {
	if c := w.states[id]; c != nil {
		c <- up
	}
}

// within is await that gives up.
func (w *watch) within(d time.Duration, id string, up bool) bool {
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

// forget drops what was told of the peer.
func (w *watch) forget(id string) {
	for len(w.states[id]) > 0 {
		<-w.states[id]
	}
}

// await returns once the peer has come, or gone.
func (w *watch) await(id string, up bool) {
	for <-w.states[id] != up {
	}
}
