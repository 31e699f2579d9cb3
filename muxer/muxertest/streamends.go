package muxertest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// streamEnds is the part of a Suite that is about the ends of streams, and what comes before and after them.
type streamEnds Suite

// served is a handler whose streams the test serves, by their protocol.
type served struct {
	Inbox
	by map[string]func(muxer.Stream)
}

func (h *served) Serves(protocol string) bool { return h.by[protocol] != nil }

func (h *served) ServeStream(_ context.Context, s muxer.Stream) { h.by[s.Protocol()](s) }

// servedPair runs f with a pair of sessions whose second one serves streams. It does not run before f says so.
func (s streamEnds) servedPair(t *testing.T, by map[string]func(muxer.Stream),
	f func(t *testing.T, a, b muxer.Session, run func()),
) {
	t.Helper()
	if !s.Traits.Streams {
		t.Skip("a wire without streams")
	}
	synctest.Test(t, func(t *testing.T) {
		channels := []muxer.Channel{{ID: 1}}
		sa, sb := s.Factory(t, channels, channels)
		a, b := &end{Session: sa}, &end{Session: sb}
		a.run(&a.inbox)
		f(t, a, b, func() { b.run(&served{by: by}) })
		a.Close(muxer.CodeRequested, "the test is over")
		for _, e := range []*end{a, b} {
			e.wait()
			e.cancel()
		}
	})
}

// testStreamsWaitForNobody writes and closes streams to a remote that does not answer yet.
func (s streamEnds) testStreamsWaitForNobody(t *testing.T) {
	got := make(map[string]chan string)
	by := make(map[string]func(muxer.Stream))
	for _, name := range []string{"/written", "/half", "/closed", "/bare"} {
		by[name] = func(st muxer.Stream) {
			b, err := io.ReadAll(st)
			if err != nil {
				b = []byte(err.Error())
			}
			got[name] <- string(b)
			_, _ = st.Write([]byte("answer"))
		}
	}
	s.servedPair(t, by, func(t *testing.T, a, _ muxer.Session, run func()) {
		began := time.Now()
		streams := make(map[string]muxer.Stream)
		for name := range by {
			got[name] = make(chan string, 1)
			st, err := a.OpenStream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if st.Protocol() != name {
				t.Errorf("the only offer %s: %q", name, st.Protocol())
			}
			if name != "/bare" {
				if n, err := st.Write([]byte("hello")); n != 5 || err != nil {
					t.Fatalf("a write before the answer: %d, %v", n, err)
				}
			}
			streams[name] = st
		}
		for _, name := range []string{"/half", "/closed", "/bare"} {
			if err := streams[name].CloseWrite(); err != nil {
				t.Errorf("%s: CloseWrite: %v", name, err)
			}
			if _, err := streams[name].Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: a write behind CloseWrite: %v", name, err)
			}
		}
		for _, name := range []string{"/written", "/closed"} {
			if err := streams[name].Close(); err != nil {
				t.Errorf("%s: Close: %v", name, err)
			}
			if _, err := streams[name].Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: a read behind Close: %v", name, err)
			}
		}
		if took := time.Since(began); took > time.Second { // virtual: some pairs have a slow path
			t.Errorf("all that took %v", took)
		}
		synctest.Wait()
		run()
		for name, c := range got {
			want := "hello"
			if name == "/bare" {
				want = ""
			}
			if b := <-c; b != want {
				t.Errorf("%s: the remote has read %q", name, b)
			}
		}
		for _, name := range []string{"/half", "/bare"} {
			if b, err := io.ReadAll(streams[name]); string(b) != "answer" || err != nil {
				t.Errorf("%s: %q, %v", name, b, err)
			}
			_ = streams[name].Close()
		}
	})
}

// testSilentNegotiation closes streams whose protocol the remote never answers. They end in time, and what was opened
// does not outlive the session.
func (s streamEnds) testSilentNegotiation(t *testing.T) {
	s.servedPair(t, nil, func(t *testing.T, a, _ muxer.Session, run func()) {
		for range 8 {
			st, err := a.OpenStream(t.Context(), "/late")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = st.Write([]byte("hello"))
			_ = st.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := st.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a read beyond its deadline: %v", err)
			}
			_ = st.CloseWrite()
			_ = st.Close()
		}
		open, err := a.OpenStream(t.Context(), "/late")
		if err != nil {
			t.Fatal(err)
		}
		_ = open.CloseWrite() // and no Close: the session ends it
		time.Sleep(time.Minute)
		synctest.Wait()
		run()
	})
}

// testResets resets streams from either end, and looks at the code.
func (s streamEnds) testResets(t *testing.T) {
	const any muxer.ResetCode = 0xdead_beef
	var heard chan error
	by := map[string]func(muxer.Stream){
		"/resets": func(st muxer.Stream) {
			_, _ = st.Read(make([]byte, 1))
			_ = st.ResetWith(any)
		},
		"/hears": func(st muxer.Stream) {
			_, _ = st.Read(make([]byte, 1))
			_, err := st.Read(make([]byte, 1))
			heard <- err
			for err = nil; err == nil; { // the reset may come behind a part of it
				_, err = st.Write(make([]byte, 1024))
			}
			heard <- err
		},
	}
	s.servedPair(t, by, func(t *testing.T, a, _ muxer.Session, run func()) {
		heard = make(chan error, 2) // within the bubble
		run()
		check := func(what string, err error, code muxer.ResetCode, remote bool) {
			t.Helper()
			if e, ok := errors.AsType[*muxer.ResetError](err); !ok || e.Code != code || e.Remote != remote {
				t.Errorf("%s: %v, want the code 0x%x, remote: %v", what, err, uint32(code), remote)
			}
		}
		open := func(protocol string) muxer.Stream {
			st, err := a.OpenStream(t.Context(), protocol)
			if err == nil {
				_, err = st.Read(nil)
			}
			if err == nil {
				_, err = st.Write([]byte("x"))
			}
			if err != nil {
				t.Fatal(err)
			}
			return st
		}
		st := open("/resets")
		_, err := st.Read(make([]byte, 1))
		check("a read", err, any, true)
		for err = nil; err == nil; {
			_, err = st.Write([]byte("y"))
		}
		check("a write", err, any, true)
		_ = st.Close()
		for _, code := range []muxer.ResetCode{0, 7, 0xffff_ffff, muxer.CodeEvicted.Reset()} {
			st := open("/hears")
			synctest.Wait()
			_ = st.ResetWith(code)
			check("the remote's read", <-heard, code, true)
			check("the remote's write", <-heard, code, true)
			_, err := st.Read(make([]byte, 1))
			check("our read", err, code, false)
			_, err = st.Write([]byte("y"))
			check("our write", err, code, false)
		}
		st = open("/hears")
		synctest.Wait()
		_ = st.Reset(muxer.CodeBanned)
		check("the remote's read of a Code", <-heard, muxer.CodeBanned.Reset(), true)
		<-heard
	})
}

// testLostStreams ends the session under a stream: that is no reset.
func (s streamEnds) testLostStreams(t *testing.T) {
	for _, code := range []muxer.Code{muxer.CodeBanned, muxer.CodeUnknown} {
		s.testLostStream(t, code, true)
		s.testLostStream(t, code, false)
	}
}

func (s streamEnds) testLostStream(t *testing.T, code muxer.Code, ours bool) {
	t.Helper()
	var lost chan error
	by := map[string]func(muxer.Stream){"/lost": func(st muxer.Stream) {
		_, err := io.Copy(io.Discard, st)
		lost <- err
		lost <- lastWrite(st)
	}}
	s.servedPair(t, by, func(t *testing.T, a, b muxer.Session, run func()) {
		lost = make(chan error, 2)
		run()
		st, err := a.OpenStream(t.Context(), "/lost")
		if err == nil {
			_, err = st.Read(nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if ours {
			a.Close(code, "the test")
		} else {
			b.Close(code, "the test")
		}
		_, err = io.Copy(io.Discard, st) // the remote may write until it hears of the end; nil would be io.EOF
		werr := lastWrite(st)
		for what, err := range map[string]error{"a read": err, "a write": werr, "a read of the remote": <-lost,
			"a write of the remote": <-lost} {
			if _, ok := errors.AsType[*muxer.ResetError](err); ok || err == nil || errors.Is(err, io.EOF) {
				t.Errorf("%s on a stream of a session that has ended: %v", what, err)
			}
		}
	})
}

// lastWrite writes until that fails, and returns why. A write may succeed for a moment after reads say that the session
// has ended.
func lastWrite(st muxer.Stream) (err error) {
	for err == nil {
		_, err = st.Write(make([]byte, 64<<10))
	}
	return err
}

// testCloseRead ends reading at one end. The other direction goes on.
func (s streamEnds) testCloseRead(t *testing.T) {
	var written chan error
	by := map[string]func(muxer.Stream){"/talks": func(st muxer.Stream) {
		_, err := st.Write([]byte("hello"))
		for range 20 { // over yamux it is dropped, as far as the window goes
			if err == nil {
				time.Sleep(time.Second)
				_, err = st.Write([]byte("hello"))
			}
		}
		b, rerr := io.ReadAll(st)
		if string(b) != "ours" || rerr != nil {
			t.Errorf("the other direction: %q, %v", b, rerr)
		}
		written <- err
	}}
	s.servedPair(t, by, func(t *testing.T, a, _ muxer.Session, run func()) {
		written = make(chan error, 1)
		run()
		st, err := a.OpenStream(t.Context(), "/talks")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(st, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error, 1)
		go func() {
			_, err := st.Read(make([]byte, 1))
			waiting <- err
		}()
		synctest.Wait()
		if err := st.CloseRead(); err != nil {
			t.Error(err)
		}
		if err := <-waiting; !errors.Is(err, net.ErrClosed) {
			t.Errorf("the read that waits: %v", err)
		}
		if _, err := st.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a later read: %v", err)
		}
		_, err = st.Write([]byte("ours"))
		if err := errors.Join(err, st.CloseWrite()); err != nil {
			t.Error(err)
		}
		reset, told := errors.AsType[*muxer.ResetError](<-written)
		if told != s.Traits.StopsSending || told && (reset.Code != 0 || !reset.Remote) {
			t.Errorf("the remote's write: %v, want to be told: %v", reset, s.Traits.StopsSending)
		}
		_ = st.Close()
	})
}
