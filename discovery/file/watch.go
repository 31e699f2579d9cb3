package file

import (
	"io"

	"github.com/fsnotify/fsnotify"
)

// watcher wakes its owner when something in a folder changes. It watches the folder and not the file: editors and
// ConfigMaps put another file in its place.
type watcher struct {
	events *fsnotify.Watcher
	done   chan struct{}
}

// watch starts a watcher, or tells why the system cannot.
func watch(folder string, wake chan<- struct{}) (io.Closer, error) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := events.Add(folder); err != nil {
		_ = events.Close()
		return nil, err
	}
	w := &watcher{events: events, done: make(chan struct{})}
	go w.run(wake)
	return w, nil
}

// run passes on that there are events until Close. What an event says does not matter.
func (w *watcher) run(wake chan<- struct{}) {
	defer close(w.done)
	for {
		var ok bool
		select {
		case _, ok = <-w.events.Events:
		case _, ok = <-w.events.Errors: // perhaps events were lost
		}
		if !ok {
			return
		}
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// Close ends the watch and waits for its goroutine.
func (w *watcher) Close() error {
	err := w.events.Close()
	<-w.done
	return err
}
