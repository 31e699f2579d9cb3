package cli

import (
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// sameSignal is how long after the first signal another one counts as the same: some senders signal both the process
// and its group.
const sameSignal = 300 * time.Millisecond

// signals are those of the process while a command runs.
type signals struct {
	arrived chan os.Signal
	over    chan struct{}
	ended   chan struct{}
	// hangup, if set, is called for SIGHUP, which then does not stop the command. dump is called for dumpSignal.
	// Neither may block.
	hangup, dump atomic.Pointer[func()]
}

// watchSignals calls cancel at the first signal and exits at the second.
func watchSignals(cancel func()) *signals {
	s := &signals{arrived: make(chan os.Signal, 4), over: make(chan struct{}), ended: make(chan struct{})}
	signal.Notify(s.arrived, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(s.arrived, syscall.SIGHUP)
	}
	go s.run(cancel)
	return s
}

func (s *signals) run(cancel func()) {
	defer close(s.ended)
	var first time.Time
	for {
		select {
		case sig := <-s.arrived:
			switch call := s.handler(sig); {
			case call != nil:
				(*call)()
			case first.IsZero():
				first = time.Now()
				cancel()
			case time.Since(first) > sameSignal:
				os.Exit(exitFailed)
			}
		case <-s.over:
			return
		}
	}
}

// handler returns what a signal calls; nil if it stops the command.
func (s *signals) handler(sig os.Signal) *func() {
	switch sig {
	case syscall.SIGHUP:
		return s.hangup.Load()
	case dumpSignal:
		return s.dump.Load()
	}
	return nil
}

// onHangup makes SIGHUP call fn instead of stopping the command.
func (s *signals) onHangup(fn func()) { s.hangup.Store(&fn) }

// onDump makes dumpSignal call fn, where the system has that signal.
func (s *signals) onDump(fn func()) {
	s.dump.Store(&fn)
	if dumpSignal != nil {
		signal.Notify(s.arrived, dumpSignal)
	}
}

func (s *signals) end() {
	signal.Stop(s.arrived)
	close(s.over)
	<-s.ended
}
