package quic

import (
	"bytes"
	"context"
	"io"
	"testing"
)

// What a lane brings arrives in order, whatever is read with short pieces or long ones, and however much of it is left unread when more comes.
func TestLaneReads(t *testing.T) {
	a, b := pair(t, Config{})
	out, err := a.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var sent, got []byte
	send := func(n int) {
		t.Helper()
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(len(sent) + i)
		}
		if _, err := out.Write(p); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, p...)
	}
	send(1)
	raw, err := b.Accept()
	if err != nil {
		t.Fatal(err)
	}
	in := raw.(*stream)
	news := make(chan struct{}, 1)
	in.Watch(func() {
		select {
		case news <- struct{}{}:
		default:
		}
	})
	arrive := func() { // all that was sent
		for len(got)+in.Ready().Readable < len(sent) {
			<-news
		}
	}
	buf := make([]byte, 2*laneInSize)
	for _, n := range []int{shortSize - 1, shortSize, shortSize + 1, 3, 1000, 1, laneInSize / 8, 2, shortSize} {
		for _, leave := range []int{0, 1, shortSize + 40} { // unread
			send(n)
			arrive()
			if r := in.Ready().Readable; r > leave {
				k := in.ReadNow(buf[:r-leave])
				if k != r-leave {
					t.Fatalf("read %d bytes of %d", k, r-leave)
				}
				got = append(got, buf[:k]...)
			}
		}
	}
	if err := out.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(in)
	if got = append(got, rest...); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came of %d: %v", len(got), len(sent), err)
	}
}
