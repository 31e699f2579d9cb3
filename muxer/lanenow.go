package muxer

// nowness lets whoever sends a short message write it himself, when the lanes rest and the remote has just said something: this is likely to be the answer, or the next
// question, and nothing else will come that could go out with it. Waking the writer for it would be felt in the round trip. Of messages in a row only the first one
// goes out so: the others are gathered. The session's mutex guards it.
type nowness struct {
	heard bool // something has arrived since a message went out so
	busy  bool // somebody writes in place of the writer: the first message of a lane, which is still queued
}

// takeNow queues a message of n bytes on lane i, and makes the caller the writer, if that can write it at once; else it does nothing and returns nil. The mutex is held.
func (s *Lanes) takeNow(i int, msg []byte) PromptWriter {
	l := &s.lanes[i]
	if !s.now.heard || s.now.busy || s.writer.writing || len(msg) > promptSize || s.writing.Len() > 0 || !s.running || s.closing || l.out == nil || l.singly || !l.empty() {
		return nil
	}
	out, _ := l.out.(PromptWriter)
	if out != nil {
		s.now = nowness{busy: true}
		l.push(msg)
	}
	return out
}

// writeNow writes the message that takeNow has queued. What cannot be written at once is left to the writer.
func (s *Lanes) writeNow(i int, out PromptWriter, msg []byte) {
	l := &s.lanes[i]
	ok := out.WriteNow(l.header[:putLength(&l.header, len(msg))], msg)
	s.mu.Lock()
	s.now.busy = false
	if ok {
		s.sentMessages.Add(1)
		if !l.empty() { // nobody has cleared it
			l.pop()
			s.admit(i)
		}
	}
	s.offer(i)
	if s.writing.Len() > 0 || s.closing {
		s.wakeWriter()
	}
	s.mu.Unlock()
}
