package muxer

import "time"

// workerRest is how long the reader and the writer of an idle session stay: a goroutine that waits for nothing is most of what an idle session costs.
const workerRest = 5 * time.Second

// laneWorker is what a session knows of its reader, or writer. The session's mutex guards it.
type laneWorker struct {
	on      bool // it runs
	idle    bool // it had nothing to do since the last look
	retire  bool // it shall end when there is nothing to do
	writing bool // the writer's: it waits for the connection
}

// busy says that it has found something to do.
func (w *laneWorker) busy() { w.idle, w.retire = false, false }

// employ takes note that a worker begins. The mutex is held.
func (s *Lanes) employ(w *laneWorker) {
	switch {
	case s.err != nil || s.input != nil: // it ends with the session
	case s.rest == nil:
		s.rest = time.AfterFunc(workerRest, s.lookAtWorkers)
	case !s.writer.on && !s.reader.on:
		s.rest.Reset(workerRest)
	}
	*w = laneWorker{on: true}
}

// lookAtWorkers ends those that had nothing to do since the last look.
func (s *Lanes) lookAtWorkers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shutting || !s.writer.on && !s.reader.on {
		return
	}
	for _, w := range []*laneWorker{&s.writer, &s.reader.laneWorker} {
		w.retire, w.idle = w.idle, true
	}
	s.wake.Signal()
	s.news.Signal()
	s.rest.Reset(workerRest)
}

// laneReaderState is what a session knows of its reader.
type laneReaderState struct {
	laneWorker
	waits Liveness    // until it was told; or nil
	end   func(error) // what the last reader does with why the session ends; nil before there may be one
}

// beginReader lets there be a reader, when there is something to do.
func (s *Lanes) beginReader(waits Liveness, end func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reader.waits, s.reader.end = waits, end
	if waits == nil {
		s.beginPrompt()
	}
	s.prompt.resting = true
	if read, look := s.choose(); read != -1 || look != -1 || s.input != nil || s.shutting || s.alive {
		s.wakeReader()
	}
}

// wakeReader lets the reader look again, or starts it. The mutex is held.
func (s *Lanes) wakeReader() {
	switch {
	case s.reader.on:
		s.news.Signal()
	case s.reader.end != nil:
		s.employ(&s.reader.laneWorker)
		s.prompt.resting = false
		go s.readLoop(s.handler, s.reader.waits)
	}
}

// wakeAtEnd wakes the reader if it may have waited for this to end the session. The mutex is held.
func (s *Lanes) wakeAtEnd() {
	if s.input != nil {
		s.wakeReader()
	}
}
