package muxer

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzLaneFrames takes a channel's frames apart in pieces of any size: the messages are those that a plain reader finds, and the memory that is
// counted for unfinished ones is what they hold.
func FuzzLaneFrames(f *testing.F) {
	f.Add([]byte{0, 1, 'a', 3, 'a', 'b', 'c'}, 2)
	f.Add(append([]byte{0x80, 0x80, 1}, make([]byte, 20_000)...), 700)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 1}, 1)
	f.Add([]byte{0x80, 0x00, 1, 'x'}, 1)
	f.Fuzz(func(t *testing.T, stream []byte, piece int) {
		const most = 1 << 16
		s := &Lanes{cfg: LanesConfig{MaxPartial: most}}
		l := &lane{maxMessage: most}
		w := &laneWork{}
		var err error
		for p := stream; len(p) > 0 && err == nil; {
			n := min(max(piece, 1), len(p))
			err = s.parse(l, w, p[:n])
			p = p[n:]
		}
		if s.partial != cap(l.read.buf) || cap(l.read.buf) > most {
			t.Fatalf("%d bytes are counted, %d are held", s.partial, cap(l.read.buf))
		}
		r := bytes.NewReader(stream)
		for i, m := range w.msgs {
			n, err := binary.ReadUvarint(r)
			want := make([]byte, n)
			r.Read(want)
			if err != nil || !bytes.Equal(m.Data, want) {
				t.Fatalf("message %d is %x, want %x (%v)", i, m.Data, want, err)
			}
		}
		if err == nil && r.Len() > 0 && !l.read.inside() {
			t.Fatalf("%d bytes are left", r.Len())
		}
	})
}

// What a queue sends is what a plain writer would, however much room there is at a time.
func FuzzLaneQueue(f *testing.F) {
	f.Add([]byte{0, 1, 200, 3}, 7)
	f.Add([]byte{255, 255, 255}, 20_000)
	f.Fuzz(func(t *testing.T, sizes []byte, room int) {
		room = max(room, 1)
		var q laneQueue
		var want, got []byte
		for _, n := range sizes[:min(len(sizes), 50)] {
			msg := bytes.Repeat([]byte{n}, int(n)*int(n)*3)
			q.push(msg)
			want = append(binary.AppendUvarint(want, uint64(len(msg))), msg...)
		}
		count := 0
		for !q.empty() {
			buf, piece, messages := q.take(nil, room)
			if n := len(buf) + len(piece); n == 0 && messages == 0 || n > room {
				t.Fatalf("took %d bytes where there was room for %d", n, room)
			}
			got = append(append(got, buf...), piece...)
			count += messages
		}
		if !bytes.Equal(got, want) || count != min(len(sizes), 50) || q.queued != 0 {
			t.Fatalf("%d messages, %d bytes, want %d; %d count as queued", count, len(got), len(want), q.queued)
		}
	})
}
