package multistream

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	ms "github.com/multiformats/go-multistream"
	"github.com/switchyard-p2p/switchyard/internal/corpus"
)

// script is a remote that has sent all its bytes beforehand.
type script struct {
	io.Reader
	bytes.Buffer
}

func (s *script) Read(p []byte) (int, error) { return s.Reader.Read(p) }
func (s *script) Close() error               { return nil }

func said(b []byte) *script { return &script{Reader: bytes.NewReader(b)} }

func tokens(words ...string) (b []byte) {
	for _, w := range words {
		b = appendToken(b, w)
	}
	return b
}

// answer also returns the pending bytes.
func answer(rw io.ReadWriter, has func(string) bool) (string, error) {
	p, pending, err := Answer(rw, has)
	if err == nil {
		_, err = rw.Write(pending)
	}
	return p, err
}

// The answer to a dialer that proposes at once is returned to the caller, in one piece.
func TestAnswerHoldsBack(t *testing.T) {
	s := said(tokens(header, "/a"))
	_, pending, err := Answer(s, func(p string) bool { return p == "/a" })
	if err != nil || s.Len() > 0 || !bytes.Equal(pending, tokens(header, "/a")) {
		t.Errorf("%v: wrote %q, left %q", err, s.Bytes(), pending)
	}
}

// A dialer that waits for our header after its own gets it.
func TestAnswerToAPatientDialer(t *testing.T) {
	x, y := net.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := answer(y, func(p string) bool { return p == "/a" })
		done <- err
	}()
	x.Write(tokens(header))
	got := make([]byte, len(tokens(header)))
	io.ReadFull(x, got)
	if !bytes.Equal(got, tokens(header)) {
		t.Errorf("got %q", got)
	}
	x.Write(tokens("/a"))
	io.ReadFull(x, make([]byte, len(tokens("/a"))))
	if err := <-done; err != nil {
		t.Error(err)
	}
	x.Close()
	y.Close()
}

// We negotiate with go-multistream, on either side.
func TestAgainstTheLibrary(t *testing.T) {
	for _, c := range []struct {
		propose, have []string
		want          string
	}{
		{[]string{"/a"}, []string{"/a"}, "/a"},
		{[]string{"/a", "/b", "/c"}, []string{"/c", "/b"}, "/b"},
		{[]string{"/a", "/b"}, []string{"/c"}, ""},
	} {
		has := func(p string) bool { return slices.Contains(c.have, p) }
		x, y := handshakePipe()
		done := make(chan string, 1)
		go func() {
			p, _ := answer(y, has)
			done <- p
		}()
		p, err := ms.SelectOneOf(c.propose, x)
		x.Close()
		if got := <-done; got != c.want || p != c.want || (err != nil) != (c.want == "") {
			t.Errorf("the library dials with %q: it has %q, %v; we have %q", c.propose, p, err, got)
		}
		y.Close()

		x, y = handshakePipe()
		go func() {
			m := ms.NewMultistreamMuxer[string]()
			m.AddHandlerWithFunc("", has, nil)
			p, _, _ := m.Negotiate(y)
			done <- p
		}()
		p, err = Select(x, c.propose)
		x.Close()
		if got := <-done; got != c.want || p != c.want || (err != nil) != (c.want == "") {
			t.Errorf("we dial with %q: we have %q, %v; the library has %q", c.propose, p, err, got)
		}
		y.Close()
	}
}

// handshakePipe is a pipe whose ends may both write first.
func handshakePipe() (io.ReadWriteCloser, io.ReadWriteCloser) {
	x, y := &half{}, &half{}
	x.more.L, y.more.L = &x.mu, &y.mu
	return side{x, y}, side{y, x}
}

type side struct{ in, out *half }

func (s side) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s side) Write(p []byte) (int, error) { return s.out.Write(p) }

func (s side) Close() error {
	for _, h := range []*half{s.in, s.out} {
		h.mu.Lock()
		h.closed = true
		h.more.Broadcast()
		h.mu.Unlock()
	}
	return nil
}

type half struct {
	mu     sync.Mutex
	more   sync.Cond
	data   bytes.Buffer
	closed bool
}

func (h *half) Read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.data.Len() == 0 && !h.closed {
		h.more.Wait()
	}
	return h.data.Read(p)
}

func (h *half) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.more.Broadcast()
	return h.data.Write(p)
}

func TestAwait(t *testing.T) {
	s := said(append(tokens(header, "/a"), "data"...))
	if err := Await(s, "/a"); err != nil {
		t.Error(err)
	}
	if rest, _ := io.ReadAll(s.Reader); string(rest) != "data" {
		t.Errorf("then %q", rest)
	}
	if err := Await(said(tokens(header, na)), "/a"); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	for _, b := range [][]byte{nil, tokens(header), tokens(header, "/b"), tokens("/multistream/2.0.0", "/a"),
		[]byte("nonsense nonsense nonsense")} {
		if err := Await(said(b), "/a"); err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("%q: %v", b, err)
		}
	}
}

func TestFirst(t *testing.T) {
	if First != 0x13 || Propose("/a")[0] != First {
		t.Errorf("a dialer begins with %#x", First)
	}
}

func TestSelectAndAnswer(t *testing.T) {
	for _, c := range []struct {
		propose, have []string
		want          string
	}{
		{[]string{"/a"}, []string{"/a"}, "/a"},
		{[]string{"/a", "/b", "/c"}, []string{"/c", "/b"}, "/b"},
		{[]string{"/a", "/b"}, []string{"/c"}, ""},
	} {
		x, y := net.Pipe()
		done := make(chan string, 1)
		go func() {
			p, _ := answer(y, func(p string) bool { return slices.Contains(c.have, p) })
			done <- p
		}()
		p, err := Select(x, c.propose)
		if p != c.want || (err != nil) != (c.want == "") || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%v proposed to %v: %q, %v", c.propose, c.have, p, err)
		}
		x.Close()
		if got := <-done; got != c.want {
			t.Errorf("the listener has %q", got)
		}
		y.Close()
	}
}

// Dialers that send all at once, or wait for nothing, are understood, and no byte behind the choice is read.
func TestAnswerLeavesTheRest(t *testing.T) {
	s := said(append(tokens(header, "/x", "/a"), "data"...))
	p, err := answer(s, func(p string) bool { return p == "/a" })
	rest, _ := io.ReadAll(s.Reader)
	if p != "/a" || err != nil || string(rest) != "data" {
		t.Errorf("%q, %v, then %q", p, err, rest)
	}
	if want := tokens(header, na, "/a"); !bytes.Equal(s.Bytes(), want) {
		t.Errorf("answered %q, want %q", s.Bytes(), want)
	}
}

func TestAnswerIsBounded(t *testing.T) {
	endless := tokens(header)
	for range 100_000 {
		endless = append(endless, tokens("/no")...)
	}
	for name, b := range map[string][]byte{
		"endless proposals": endless,
		"a long proposal":   tokens(header, "/"+strings.Repeat("x", 5000)),
		"a huge length":     append(tokens(header), 0xff, 0xff, 0xff, 0xff, 0x7f),
		"another header":    tokens("/multistream/2.0.0", "/a"),
		"nothing":           nil,
	} {
		s := said(b)
		if _, err := answer(s, func(p string) bool { return p == "/a" }); err == nil {
			t.Errorf("%s: taken", name)
		}
		if s.Len() > 8<<10 {
			t.Errorf("%s: answered with %d bytes", name, s.Len())
		}
	}
}

func TestAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		say     []byte
		done    bool
		refused bool
		broken  bool
	}{
		"taken":      {append(tokens(header, "/a"), "more"...), true, false, false},
		"refused":    {tokens(header, na), false, true, true},
		"another":    {tokens(header, "/b"), false, false, true},
		"not at all": {[]byte("HTTP/1.1 400"), false, false, true},
		"half":       {tokens(header), false, false, false},
	} {
		for _, step := range []int{1, 3, 1000} {
			a := NewAnswered("/a")
			var done bool
			var err error
			for p := c.say; len(p) > 0 && err == nil; p = p[min(step, len(p)):] {
				done, err = a.Take(p[:min(step, len(p))])
			}
			if done != c.done || errors.Is(err, ErrRefused) != c.refused || (err != nil) != c.broken {
				t.Errorf("%s in pieces of %d: %v, %v", name, step, done, err)
			}
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(tokens(header, "/a"))
	f.Add(tokens(header, "/x", "/a"))
	f.Add(tokens("/a"))
	for _, b := range corpus.HugeLengths(tokens(header, "/a")) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := answer(said(b), func(p string) bool { return p == "/a" })
		if (err == nil) != (p == "/a") {
			t.Errorf("%q, %v", p, err)
		}
		_, _ = Select(said(b), []string{"/a", "/b"})
		_, _ = NewAnswered("/a").Take(b)
		_ = Await(said(b), "/a")
	})
}
