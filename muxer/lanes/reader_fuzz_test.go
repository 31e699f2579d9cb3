package lanes

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"sync"
	"testing"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// keeper is a handler that keeps what it gets.
type keeper struct{ msgs []muxer.Message }

func (*keeper) Established() {}
func (k *keeper) Deliver(_ context.Context, msgs []muxer.Message) error {
	k.msgs = append(k.msgs, msgs...)
	return nil
}
func (*keeper) Serves(string) bool                        { return false }
func (*keeper) ServeStream(context.Context, muxer.Stream) {}

// pieces is a stream of which each Read returns so many bytes.
type pieces struct {
	data []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(b, p.data[:min(len(p.data), p.size)])
	p.data = p.data[n:]
	return n, nil
}

// FuzzLaneFrames takes a channel's frames apart in pieces of any size: the messages are those that a plain reader
// finds, and the memory that counts for unfinished ones covers what they hold.
func FuzzLaneFrames(f *testing.F) {
	f.Add([]byte{0, 1, 'a', 3, 'a', 'b', 'c'}, 2)
	f.Add(append([]byte{0x80, 0x80, 1}, make([]byte, 20_000)...), 700)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 1}, 1)
	f.Add([]byte{0x80, 0x00, 1, 'x'}, 1)
	f.Add(bytes.Repeat([]byte{1, 'a'}, 1000), 700)
	f.Fuzz(func(t *testing.T, sent []byte, piece int) {
		const most = 1 << 16
		k := &keeper{}
		s := &Session{partial: muxer.Partial{Limit: 2 * most}, handler: k, ctx: context.Background()}
		r := &reader{s: s, l: &lane{Channel: muxer.Channel{MaxMessage: most}}}
		in := &pieces{sent, max(piece, 1)}
		var err, broken error
		for err == nil && broken == nil {
			err, broken = r.read(in)
		}
		if held := cap(r.buf); s.partial.Used() != r.claimed || s.partial.Used() < held || held > most {
			t.Fatalf("%d bytes are counted, %d are held", s.partial.Used(), held)
		}
		plain := bytes.NewReader(sent)
		for i, m := range k.msgs {
			n, err := binary.ReadUvarint(plain)
			want := make([]byte, n)
			plain.Read(want)
			if err != nil || !bytes.Equal(m.Data, want) {
				t.Fatalf("message %d is %x, want %x (%v)", i, m.Data, want, err)
			}
		}
		if broken == nil && plain.Len() > 0 && r.headN == 0 && !r.inside {
			t.Fatalf("%d bytes are left", plain.Len())
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
			if !queues.TrySend(1, msg) {
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
