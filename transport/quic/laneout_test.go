package quic

import (
	"bytes"
	"context"
	"io"
	"testing"
)

// WriteNow takes a short piece as a whole, in its place among all that is written, or nothing of it: what is long, what comes too often in a row, and what nobody
// can send any more.
func TestWriteNow(t *testing.T) {
	a, b := pair(t, Config{})
	out, err := a.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	s := out.(*stream)
	if s.WriteNow(nil, []byte("x")) {
		t.Error("written before it is a lane")
	}
	s.Watch(func() {})
	piece := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, n) }
	var sent []byte
	if s.WriteNow(piece(1), piece(directSize)) {
		t.Error("a long piece was taken")
	}
	for n := 100; n < 110; n++ { // both ways of writing, in turn
		if n%2 == 0 {
			if !s.WriteNow(piece(2), piece(n)) {
				t.Fatalf("%d bytes were not taken", n)
			}
			sent = append(append(sent, piece(2)...), piece(n)...)
		} else {
			if err := s.WriteReady(piece(n)); err != nil {
				t.Fatal(err)
			}
			sent = append(sent, piece(n)...)
		}
	}
	taken := 0
	for s.WriteNow(nil, piece(200)) {
		sent = append(sent, piece(200)...)
		if taken++; taken*200 > directSum {
			t.Fatal("more in a row than quic-go is to hold")
		}
	}
	if err := s.WriteReady(piece(250)); err != nil {
		t.Fatal(err)
	}
	sent = append(sent, piece(250)...)
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if s.WriteNow(nil, []byte("x")) {
		t.Error("written behind the end")
	}
	in, err := b.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came of %d: %v", len(got), len(sent), err)
	}
}
