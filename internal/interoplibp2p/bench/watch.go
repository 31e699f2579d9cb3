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

// within returns true once the peer has come, or gone; false when d is over.
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
