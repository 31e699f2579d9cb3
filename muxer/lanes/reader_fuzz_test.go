package lanes

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync"
	"testing"

	"github.com/switchyard-p2p/switchyard/internal/corpus"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// pieces is a stream of which each Read returns so many bytes. It calls check with how many came before.
type pieces struct {
	data  []byte
	size  int
	taken int
	check func(taken int)
}

func (p *pieces) Read(b []byte) (int, error) {
	p.check(p.taken)
	if len(p.data) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(b, p.data[:min(len(p.data), p.size)])
	p.data = p.data[n:]
	p.taken += n
	return n, nil
}

// FuzzLaneFrames takes messages out of a stream that comes in pieces of any size: they are those that a plain reader
// finds, and memory is claimed as bytes arrive.
func FuzzLaneFrames(f *testing.F) {
	f.Add([]byte{0, 1, 'a', 3, 'a', 'b', 'c'}, 2)
	f.Add(append([]byte{0x80, 0x80, 1}, make([]byte, 20_000)...), 700)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 1}, 1)
	f.Add([]byte{0x80, 0x00, 1, 'x'}, 1)
	f.Add(bytes.Repeat([]byte{1, 'a'}, 1000), 700)
	f.Add(bytes.Repeat([]byte{0xff}, 11), 3)
	f.Add(append(binary.AppendUvarint(nil, 60_000), make([]byte, 60_000)...), 1<<20)
	f.Add(append(binary.AppendUvarint(nil, 60_000), make([]byte, 59_999)...), 1)
	for _, b := range corpus.HugeLengths([]byte{0, 1, 'a', 3, 'a', 'b', 'c'}) {
		f.Add(b, 2)
	}
	f.Fuzz(func(t *testing.T, sent []byte, piece int) {
		const most = 1 << 16
		s := &Session{partial: muxer.Partial{Limit: 2 * most}}
		r := &reader{s: s, l: &lane{Channel: muxer.Channel{MaxMessage: most}}}
		r.in = &pieces{data: sent, size: max(piece, 1), check: func(taken int) {
			if used := s.partial.Used(); used > muxer.BufferSize(max(2*taken, exactAlloc)) {
				t.Fatalf("%d bytes are claimed after %d came", used, taken)
			}
		}}
		plain := bytes.NewReader(sent)
		for {
			got, err := r.message()
			if n := s.partial.Used(); n != 0 {
				t.Fatalf("%d bytes are claimed between messages", n)
			}
			n, wrong := binary.ReadUvarint(plain)
			if err != nil {
				if wrong == nil && n <= most && int(n) <= plain.Len() {
					t.Fatalf("a message of %d bytes was not read: %v", n, err)
				}
				return
			}
			want := make([]byte, min(n, most))
			if wrong == nil {
				_, wrong = io.ReadFull(plain, want)
			}
			if wrong != nil || !bytes.Equal(got, want) {
				t.Fatalf("%x was read as %x (%v)", want, got, wrong)
			}
		}
	})
}

// What a lane sends is what a plain writer would, however much room there is at a time.
func FuzzLaneQueue(f *testing.F) {
	f.Add([]byte{0, 1, 200, 3}, 7)
	f.Add([]byte{255, 255, 255}, 20_000)
	f.Fuzz(func(t *testing.T, sizes []byte, room int) {
		room, sizes = max(room, leastRoom), sizes[:min(len(sizes), 50)]
		var mu sync.Mutex
		queues, err := muxer.NewSendQueues(&mu, []muxer.Channel{{ID: 1, SendQueue: 1 << 30}}, func(int) {})
		if err != nil {
			t.Fatal(err)
		}
		var want, got []byte
		for _, n := range sizes {
			msg := bytes.Repeat([]byte{n}, int(n)*int(n)*3)
			if !queues.Sender().TrySend(1, msg) {
				t.Fatal("no room")
			}
			want = append(binary.AppendUvarint(want, uint64(len(msg))), msg...)
		}
		count, l := 0, &lane{queue: queues.Queue(0)}
		for !l.queue.Empty() {
			buf, piece, messages := l.take(nil, room)
			if n := len(buf) + len(piece); n == 0 && messages == 0 || n > room {
				t.Fatalf("took %d bytes where there was room for %d", n, room)
			}
			got = append(append(got, buf...), piece...)
			count += messages
		}
		if !bytes.Equal(got, want) || count != len(sizes) {
			t.Fatalf("%d messages, %d bytes, want %d", count, len(got), len(want))
		}
	})
}
