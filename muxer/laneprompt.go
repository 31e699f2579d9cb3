package muxer

// promptSize is the most that is read of a lane on the connection's goroutine. More is worth a goroutine of its own, beside which the connection reads on.
const promptSize = 2 << 10

// promptness lets the connection's goroutine do what the reader would wake up for: read a little of a lane, and deliver what that is the end of. Nothing else has arrived then,
// so there is nothing to be fair to; and it waits for nothing: what the handler has no room for is left to the reader. Waking that, only that it wakes a service, would be
// felt in the round trip of a small message. The session's mutex guards it.
type promptness struct {
	handler PromptHandler // nil as long as it is not used
	resting bool          // the reader has nothing to do, or there is none
	busy    bool          // another goroutine reads in its place, and owns all that is the reader's own
	woken   bool          // the reader waits for that one
	rest    []Message     // that it has not delivered
	broken  error         // what it has found wrong
}

// beginPrompt allows it, from now on. The mutex is held.
func (s *Lanes) beginPrompt() { s.prompt.handler, _ = s.handler.(PromptHandler) }

// takePrompt makes the caller the reader of a lane of which r can be read, if that is possible now; else it returns nil. The mutex is held.
func (s *Lanes) takePrompt(in RawStream, r Ready) PromptStream {
	p := &s.prompt
	if !p.resting || p.busy || p.handler == nil || p.rest != nil || p.broken != nil || r.Readable <= 0 || r.Readable > promptSize || r.Ended ||
		s.reading.Len() > 0 || len(s.single.whole) > 0 || s.err != nil {
		return nil
	}
	now, _ := in.(PromptStream)
	p.busy = now != nil
	return now
}

// readNow reads a lane, and delivers what that gives, on the goroutine of the connection.
func (s *Lanes) readNow(i int, in RawStream, now PromptStream) {
	w := laneWorks.Get().(*laneWork)
	n := now.ReadNow(w.chunk[:promptSize])
	broken := s.parse(&s.lanes[i], w, w.chunk[:n])
	taken := 0
	if len(w.msgs) > 0 && s.ctx.Err() == nil {
		taken = s.prompt.handler.DeliverNow(w.msgs)
		s.receivedMessages.Add(uint64(taken))
	}
	s.mu.Lock()
	p := &s.prompt
	if rest := w.msgs[taken:]; len(rest) > 0 {
		p.rest = append(p.rest, rest...)
	}
	p.busy, p.broken = false, broken
	if r := in.Ready(); r.Readable > 0 || r.Ended {
		s.reading.Add(i)
	}
	if p.woken || p.rest != nil || broken != nil || s.reading.Len() > 0 {
		p.woken = false
		s.wakeReader()
	}
	s.mu.Unlock()
	w.giveBack()
}

// deliverRest does what readNow has left to do. The reader's goroutine.
func (s *Lanes) deliverRest(h Handler) error {
	s.mu.Lock()
	rest, broken := s.prompt.rest, s.prompt.broken
	s.prompt.rest, s.prompt.broken = nil, nil
	s.mu.Unlock()
	w := laneWorks.Get().(*laneWork)
	w.msgs = append(w.msgs, rest...)
	if err := s.deliver(w, h); err != nil {
		return err
	}
	return broken
}
