package lanes

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// undated is a reader that ignores deadlines.
type undated struct{ io.Reader }

func (undated) SetReadDeadline(time.Time) error { return nil }

// FuzzSingle reads the message of a stream that carries one: it is what a plain reader finds, no memory is claimed for
// a longer one than the channel takes, and what was claimed is what the message holds.
func FuzzSingle(f *testing.F) {
	f.Add([]byte{0}, false)
	f.Add([]byte{3, 'a', 'b', 'c'}, true)
	f.Add([]byte{3, 'a', 'b', 'c', 'd'}, false)
	f.Add([]byte{3, 'a'}, true)
	f.Add(binary.AppendUvarint(nil, 1<<40), false)
	f.Add([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 1}, true)
	f.Add(append(binary.AppendUvarint(nil, 60_000), make([]byte, 60_000)...), false)
	f.Fuzz(func(t *testing.T, sent []byte, slow bool) {
		const most = 1 << 16
		partial := &muxer.Partial{Limit: 2 * most}
		var in io.Reader = bytes.NewReader(sent)
		if slow {
			in = iotest.OneByteReader(in)
		}
		got, claimed, err := receive(&lane{Channel: muxer.Channel{MaxMessage: most}}, singleReader{undated{in}},
			partial)
		if claimed != partial.Used() || claimed > 2*most {
			t.Fatalf("%d bytes were claimed, %d are counted", claimed, partial.Used())
		}
		r := bytes.NewReader(sent)
		n, wrong := binary.ReadUvarint(r)
		want := make([]byte, min(n, most))
		if wrong == nil && n <= most {
			_, wrong = io.ReadFull(r, want)
		}
		switch {
		case err == nil:
			if wrong != nil || n > most || !bytes.Equal(got, want) {
				t.Fatalf("%x was read as %x", sent, got)
			}
		case errors.Is(err, muxer.ErrMessageTooLarge):
			if n <= most {
				t.Fatalf("%d bytes are too many: %v", n, err)
			}
		case wrong == nil && n <= most && r.Len() == 0 && len(sent)-len(want) <= 5:
			t.Fatalf("%x was refused: %v", sent, err)
		}
	})
}
