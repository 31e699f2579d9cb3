package peers

// waker is an event that is remembered until someone waits for it. Waking it twice before that counts once.
type waker chan struct{}

func newWaker() waker { return make(waker, 1) }

// wake never blocks, so it may be called under a lock.
func (w waker) wake() {
	select {
	case w <- struct{}{}:
	default:
	}
}
