package main

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

// await returns once the peer has come, or gone.
func (w *watch) await(id string, up bool) {
	for <-w.states[id] != up {
	}
}
