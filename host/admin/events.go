package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/switchyard-p2p/switchyard/host"
)

func eventOf(e *host.Event) Event {
	return Event{Seq: e.Seq, Time: e.Time, Kind: e.Kind, NodeID: e.ID, Address: e.Address, Inbound: e.Inbound,
		Stage: e.Stage, Reason: reasonOf(e.Reason), Duration: millis(e.Duration), Text: textOf(e)}
}

// textOf tells an event in a line.
func textOf(e *host.Event) string {
	why := ""
	if e.Reason != nil {
		why = ": " + e.Reason.Error()
	}
	in := ""
	if e.Stage != "" {
		in = " in " + e.Stage
	}
	id := e.ID.Short()
	var text string
	switch e.Kind {
	case host.EventUp:
		text = fmt.Sprintf("%s is up, %s, %s", id, direction(e.Inbound), e.Address)
	case host.EventDown:
		text = fmt.Sprintf("%s is down after %s%s", id, e.Duration.Round(time.Millisecond), why)
	case host.EventChanged:
		text = fmt.Sprintf("%s has other protocols or addresses now", id)
	case host.EventDialFailed:
		text = fmt.Sprintf("dialing %s at %s failed%s%s", id, e.Address, in, why)
	case host.EventRefused:
		text = fmt.Sprintf("a connection from %s was refused%s%s", e.Address, in, why)
	case host.EventFeeler:
		text = fmt.Sprintf("%s answers at %s", id, e.Address)
	case host.EventMoved:
		text = fmt.Sprintf("%s has moved to %s", id, e.Address)
	case host.EventMoveFailed:
		text = fmt.Sprintf("%s could not move to %s%s%s", id, e.Address, in, why)
	case host.EventBan:
		text = fmt.Sprintf("%s is banned%s", e.Address, why)
	case host.EventUnban:
		text = fmt.Sprintf("%s is no longer banned", e.Address)
	default:
		text = fmt.Sprintf("%s %s %s%s", e.Kind, id, e.Address, why)
	}
	return oneLine(text)
}

// oneLine replaces what does not print, such as line breaks and marks that change the direction of writing: texts may
// have words of strangers in them.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// join takes one of the places of those who read events, or answers that all are taken.
func (s *Server) join(w http.ResponseWriter) (leave func(), ok bool) {
	w.Header().Set("Connection", "close") // not to keep its place when it is idle
	select {
	case s.readers <- struct{}{}:
		return func() { <-s.readers }, true
	default:
		Fail(w, http.StatusServiceUnavailable, fmt.Errorf("%d connections read events already", maxReaders))
		return nil, false
	}
}

// stream is an answer of server-sent events.
type stream struct {
	w   http.ResponseWriter
	out *http.ResponseController
}

func newStream(w http.ResponseWriter) stream {
	w.Header().Set("Content-Type", "text/event-stream")
	return stream{w, http.NewResponseController(w)}
}

// send reports whether the reader has taken it in time.
func (s stream) send(format string, args ...any) bool {
	_ = s.out.SetWriteDeadline(time.Now().Add(requestTimeout))
	_, err := fmt.Fprintf(s.w, format, args...)
	return err == nil && s.out.Flush() == nil
}

// SendEvents answers a request with a server-sent event for each value, as JSON, until events is closed, the reader
// goes, or it takes nothing in time. It is for the handlers of services; Client.ServiceEvents reads it. The caller
// bounds how many read at once, and ends what sends events when SendEvents returns.
func SendEvents[E any](w http.ResponseWriter, r *http.Request, events <-chan E) {
	w.Header().Set("Connection", "close")
	out := newStream(w)
	beat := time.NewTicker(eventsBeat)
	defer beat.Stop()
	for ok := out.send(": from now on\n\n"); ok; {
		select {
		case e, open := <-events:
			if !open {
				return
			}
			data, err := json.Marshal(e)
			ok = err == nil && out.send("data: %s\n\n", data)
		case <-beat.C:
			ok = out.send(": still here\n\n")
		case <-r.Context().Done():
			return
		}
	}
}

// sinceIn reads the number after which a reader wants to have what happened: of the query, or what its browser says
// when it comes back. ok reports whether there is one.
func sinceIn(r *http.Request) (seq uint64, ok bool, err error) {
	text, key := r.Header.Get("Last-Event-ID"), "Last-Event-ID"
	if text == "" {
		text, key = r.URL.Query().Get("since"), "since"
	}
	if text == "" {
		return 0, false, nil
	}
	if seq, err = strconv.ParseUint(text, 10, 64); err != nil {
		return 0, false, fmt.Errorf("%s %.30q: want the number of an event", key, text)
	}
	return seq, true, nil
}

// events sends what happened after a number, as far as the node keeps it, and what happens from now on. A reader that
// lags loses events (see host.Journal.Events); a reader that takes nothing is cut off.
func (s reads) events(w http.ResponseWriter, r *http.Request) {
	seq, past, err := sinceIn(r)
	follow := true
	if text := r.URL.Query().Get("follow"); text != "" && err == nil {
		if follow, err = strconv.ParseBool(text); err != nil {
			err = fmt.Errorf("follow %.20q: want true or false", text)
		}
	}
	if err != nil {
		Fail(w, http.StatusBadRequest, err)
		return
	}
	journal := s.node.Watch.Journal()
	if !follow {
		happened, _ := journal.Since(seq)
		Reply(w, http.StatusOK, eventsOf(happened))
		return
	}
	leave, ok := s.join(w)
	if !ok {
		return
	}
	defer leave()
	var before []host.Event
	var happened <-chan host.Event
	if past {
		before, happened = journal.Follow(r.Context(), seq)
	} else {
		happened = journal.Events(r.Context())
	}
	out := newStream(w)
	beat := time.NewTicker(eventsBeat)
	defer beat.Stop()
	ok = out.send(": from now on\n\n")
	for i := 0; ok && i < len(before); i++ {
		ok = out.event(&before[i])
	}
	for ok {
		select {
		case e, open := <-happened:
			if !open {
				return
			}
			ok = out.event(&e)
		case <-beat.C:
			ok = out.send(": still here\n\n")
		case <-r.Context().Done():
			return
		}
	}
}

func (s stream) event(e *host.Event) bool {
	data, err := json.Marshal(eventOf(e))
	return err == nil && s.send("id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Kind, data)
}

func eventsOf(list []host.Event) []Event {
	out := make([]Event, len(list))
	for i := range list {
		out[i] = eventOf(&list[i])
	}
	return out
}

// errNotFed is the answer to readers of a stream that nobody feeds.
var errNotFed = errors.New("the API is served without its stream: see Server.Watch")
