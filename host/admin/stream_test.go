package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// sse is a message of a stream.
type sse struct {
	id   uint64
	kind string
	data string
}

// sseReader is the connection of a reader of a stream. It reads nothing while held.
type sseReader struct {
	header http.Header
	mu     sync.Mutex
	body   bytes.Buffer
	status int
	held   chan struct{} // nil: it reads
}

func (r *sseReader) Header() http.Header    { return r.header }
func (r *sseReader) WriteHeader(status int) { r.status = status }
func (r *sseReader) Write(b []byte) (int, error) {
	if r.held != nil {
		<-r.held
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.body.Write(b)
}
func (r *sseReader) Flush()                             {}
func (r *sseReader) SetWriteDeadline(_ time.Time) error { return nil }

// messages returns what has come, and forgets it.
func (r *sseReader) messages(t *testing.T) (out []sse) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, block := range strings.Split(r.body.String(), "\n\n") {
		var m sse
		for _, line := range strings.Split(block, "\n") {
			key, value, _ := strings.Cut(line, ": ")
			switch key {
			case "id":
				m.id, _ = strconv.ParseUint(value, 10, 64)
			case "event":
				m.kind = value
			case "data":
				m.data = value
			}
		}
		if m.data != "" {
			out = append(out, m)
		}
	}
	r.body.Reset()
	return out
}

// readStream reads a stream until the test ends, or stop is called.
func readStream(t *testing.T, h http.Handler, path string, header ...string) (r *sseReader, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	q := httptest.NewRequestWithContext(ctx, "GET", "http://localhost"+path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	r = &sseReader{header: http.Header{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.ServeHTTP(r, q)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	t.Cleanup(stop)
	synctest.Wait()
	return r, stop
}

// watched returns a server of a fake node, whose stream is fed until the test ends.
func watched(t *testing.T, f *fakeNode) *Server {
	t.Helper()
	s, err := New(Config{}, f.node(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Watch(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	synctest.Wait()
	return s
}

func decode[T any](t *testing.T, m sse, kind string) (v T) {
	t.Helper()
	if m.kind != kind {
		t.Fatalf("a message %q, want %q: %.200s", m.kind, kind, m.data)
	}
	if err := json.Unmarshal([]byte(m.data), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func kinds(list []sse) string {
	var out []string
	for _, m := range list {
		out = append(out, m.kind)
	}
	return strings.Join(out, " ")
}

// A reader gets a snapshot, then deltas with the fields that have changed alone, events at once, and pings.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNode(t)
		f.journal.Add(host.Event{Kind: host.EventUp, ID: idA, Address: "/memory/1"})
		s := watched(t, f)
		r, _ := readStream(t, s.Handler(), "/v1/stream")
		got := r.messages(t)
		if len(got) != 1 {
			t.Fatalf("%q, want a snapshot", kinds(got))
		}
		snap := decode[Snapshot](t, got[0], "snapshot")
		if snap.Seq != got[0].id || snap.BootID != s.boot || len(snap.BootID) != 16 || len(snap.Peers) != 2 ||
			len(snap.Events) != 1 || len(snap.Dials.Attempts) != 1 || snap.Status.NodeID != f.Self() ||
			strings.Contains(got[0].data, "channel_stats") || snap.Status.Findings[0].Code != "well" {
			t.Errorf("the snapshot is %s", got[0].data)
		}

		f.mu.Lock()
		f.peers[0].Score, f.peers[1].ID = 8, transport.NodeID(strings.Repeat("c", 40))
		f.mu.Unlock()
		f.journal.Add(host.Event{Kind: host.EventDown, ID: idB, Reason: &host.DisconnectError{Code: muxer.CodeIdle}})
		e := decode[StreamEvent](t, r.messages(t)[0], "event")
		if e.Event.NodeID != idB || e.Seq != snap.Seq+1 || e.Event.Seq <= snap.Events[0].Seq {
			t.Errorf("the event is %+v", e)
		}
		time.Sleep(time.Second)
		got = r.messages(t)
		d := decode[Delta](t, got[0], "delta")
		if len(got) != 1 || len(d.Peers) != 2 || len(d.Peers[0]) != 2 || d.Peers[0]["score"] != 8.0 ||
			len(d.Peers[1]) < 20 || !slices.Equal(d.Gone, []transport.NodeID{idB}) || len(d.Attempts) != 0 {
			t.Errorf("the delta is %s", got[0].data)
		}
		time.Sleep(3 * time.Second)
		if got = r.messages(t); len(got) != 0 {
			t.Errorf("nothing has changed, and %q came: %s", kinds(got), got[0].data)
		}
		time.Sleep(time.Second)
		if got = r.messages(t); kinds(got) != "delta ping" || !strings.Contains(got[0].data, `"traffic"`) {
			t.Errorf("after 5 s: %q", kinds(got))
		}
		f.journal.Add(host.Event{Kind: host.EventDialFailed, ID: idB, Stage: "info", Source: "pex",
			Reason: &host.DisconnectError{Code: muxer.CodeTimeout}})
		time.Sleep(time.Second)
		if got = r.messages(t); kinds(got) != "event delta" {
			t.Fatalf("after a failed dial: %q", kinds(got))
		}
		d = decode[Delta](t, got[1], "delta")
		if len(d.Attempts) != 1 || d.Attempts[0].OK || d.Attempts[0].Remedy == "" || d.Attempts[0].Source != "pex" ||
			d.Status["recent"] == nil {
			t.Errorf("the delta is %s", got[1].data)
		}
	})
}

// A reader that comes back with the number of its last message misses nothing; with one of another start, or of long
// ago, it gets a snapshot.
func TestStreamResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNode(t)
		s := watched(t, f)
		r, stop := readStream(t, s.Handler(), "/v1/stream")
		r.messages(t)
		f.journal.Add(host.Event{Kind: host.EventUp, ID: idA})
		last := r.messages(t)[0].id
		stop()
		for range 5 {
			f.journal.Add(host.Event{Kind: host.EventUp, ID: idB})
		}
		time.Sleep(time.Second)
		text := strconv.FormatUint(last, 10)
		r, stop = readStream(t, s.Handler(), "/v1/stream", "Last-Event-ID", text)
		if got := r.messages(t); kinds(got) != "event event event event event delta" || got[0].id != last+1 {
			t.Errorf("after it came back: %q", kinds(got))
		}
		stop()
		for name, id := range map[string]string{"another start": "17", "the future": strconv.FormatUint(last*2, 10)} {
			r, stop := readStream(t, s.Handler(), "/v1/stream", "Last-Event-ID", id)
			if got := r.messages(t); kinds(got) != "snapshot" {
				t.Errorf("%s: %q", name, kinds(got))
			}
			stop()
		}
		time.Sleep(feedLinger + 2*time.Second) // nobody reads
		r, stop = readStream(t, s.Handler(), "/v1/stream", "Last-Event-ID", text)
		if got := r.messages(t); kinds(got) != "snapshot" {
			t.Errorf("after a minute: %q", kinds(got))
		}
		stop()
		if r, _ := readStream(t, s.Handler(), "/v1/stream", "Last-Event-ID", "x"); r.status != http.StatusBadRequest {
			t.Errorf("a number that is none: %d", r.status)
		}
	})
}

// A reader that takes nothing is cut off and delays nobody; what waits for it is bounded.
func TestStreamSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNode(t)
		s := watched(t, f)
		slow, _ := readStream(t, s.Handler(), "/v1/stream")
		slow.messages(t)
		slow.held = make(chan struct{})
		quick, _ := readStream(t, s.Handler(), "/v1/stream")
		for range 12 {
			for range 2 * feedEvents {
				f.journal.Add(host.Event{Kind: host.EventRefused, Inbound: true,
					Reason: &host.DisconnectError{Code: muxer.CodeTooManyPeers, Reason: strings.Repeat("x", 1000)}})
			}
			time.Sleep(time.Second)
		}
		events, left := 0, 0
		for _, m := range quick.messages(t) {
			switch m.kind {
			case "event":
				events++
			case "delta":
				left += decode[Delta](t, m, "delta").LeftOut
			}
		}
		if events != 12*feedEvents || left != 12*feedEvents {
			t.Errorf("%d events came, and %d were left out", events, left)
		}
		s.feed.mu.Lock()
		if n, b := len(s.feed.messages), s.feed.bytes; n > feedMessages || b > feedBytes {
			t.Errorf("%d messages of %d bytes wait", n, b)
		}
		s.feed.mu.Unlock()
		close(slow.held)
		synctest.Wait()
		if n := len(s.readers); n != 1 {
			t.Errorf("%d readers, want the quick one", n)
		}
	})
}

// Without a feeder there is no stream.
func TestStreamWithoutAFeeder(t *testing.T) {
	s, err := New(Config{}, newFakeNode(t).node(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/v1/stream", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// GET /v1/events replays what is kept after a number, and GET /v1/events?follow=false is an array.
func TestPastEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNode(t)
		s := watched(t, f)
		for i := range 700 {
			f.journal.Add(host.Event{Kind: host.EventUp, ID: idA, Address: strconv.Itoa(i) + "\u202e\n"})
		}
		array := func(path string) (out []Event) {
			t.Helper()
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+path, nil))
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
				t.Fatalf("%s: %v", w.Body, err)
			}
			return out
		}
		all := array("/v1/events?follow=false")
		if len(all) != 512 || all[511].Seq != all[0].Seq+511 || !strings.Contains(all[0].Text, "188??") {
			t.Fatalf("%d events, from %+v to %+v", len(all), all[0], all[len(all)-1])
		}
		since := strconv.FormatUint(all[508].Seq, 10)
		if got := array("/v1/events?follow=false&since=" + since); len(got) != 3 || got[0].Seq != all[509].Seq {
			t.Errorf("after %s: %+v", since, got)
		}
		r, _ := readStream(t, s.Handler(), "/v1/events?since="+since)
		f.journal.Add(host.Event{Kind: host.EventDown, ID: idA, Reason: &host.DisconnectError{}})
		if got := r.messages(t); kinds(got) != "peer-up peer-up peer-up peer-down" || got[0].id != all[509].Seq {
			t.Errorf("%q came", kinds(got))
		}
		r, _ = readStream(t, s.Handler(), "/v1/events", "Last-Event-ID", since)
		if got := r.messages(t); len(got) != 4 {
			t.Errorf("%d events came", len(got))
		}
		if r, _ = readStream(t, s.Handler(), "/v1/events"); len(r.messages(t)) != 0 {
			t.Error("what was before came")
		}
		for _, path := range []string{"/v1/events?since=x", "/v1/events?follow=perhaps", "/v1/dials?since=-1"} {
			if r, _ := readStream(t, s.Handler(), path); r.status != http.StatusBadRequest {
				t.Errorf("%s: %d", path, r.status)
			}
		}
	})
}

// The history has the bytes of each channel, of links that come and go.
func TestTrafficHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNode(t)
		s := watched(t, f)
		set := func(link, received, sent uint64) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.peers[0].LinkID = link
			f.peers[0].PerChannel = []host.ChannelInfo{{ChannelStats: muxer.ChannelStats{ID: 0x7e, SendQueue: 7,
				ReceivedBytes: received, SentBytes: sent}}}
		}
		step := func() { time.Sleep(historyStep); synctest.Wait() }
		set(1, 500, 50)
		step()
		set(1, 1500, 50)
		step()
		set(2, 100, 1000) // another link
		step()
		got := s.feed.history.view(linksOf{f}.Channels())
		chat := got.Channels[1]
		if got.Step != 5 || chat.Name != "chat" || !slices.Equal(chat.Receive, []float64{100, 200, 20}) ||
			!slices.Equal(chat.Send, []float64{10, 0, 200}) || chat.ReceiveRate != 20 || chat.SendRate != 200 ||
			chat.Queued != 7 || chat.Dropped != 3 || len(got.Channels[0].Receive) != 3 ||
			!got.From.Equal(time.Now().Add(-2*historyStep)) {
			t.Errorf("the history is %+v", got)
		}
		for range 200 {
			step()
		}
		got = s.feed.history.view(linksOf{f}.Channels())
		if n := len(got.Channels[1].Receive); n != 180 || !got.From.Equal(time.Now().Add(-179*historyStep)) {
			t.Errorf("%d points from %v", n, got.From)
		}
	})
}

func TestPlainName(t *testing.T) {
	for name, want := range map[string]string{"/pex/1.0.0": "pex", "/app/chat/2": "app/chat", "/app/chat": "app/chat",
		"chat": "chat", "": "", "/1.0": "1.0", "/a/": "a"} {
		if got := plainName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
