package lanes

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// heap returns how much memory is in use. It collects until nothing more goes.
func heap() int {
	var m runtime.MemStats
	for held := math.MaxInt; ; held = int(m.HeapAlloc) {
		runtime.GC()
		runtime.ReadMemStats(&m)
		if int(m.HeapAlloc) >= held {
			return held
		}
	}
}

// Messages that remotes have begun on many streams hold no more memory than they may, by session and in all, whatever
// the pieces in which they come.
func TestUnfinishedHeap(t *testing.T) {
	const sessions, streams, most, limit, all = 8, 32, 256 << 10, 2 << 20, 8 << 20
	for _, piece := range []int{100, 1500, 64 << 10} {
		t.Run(fmt.Sprintf("pieces of %d", piece), func(t *testing.T) {
			shared := &muxer.SharedPartial{Limit: all}
			var owned [sessions]*Session
			var writers []net.Conn
			var refused int
			var mu sync.Mutex
			var reading, writing sync.WaitGroup
			before := heap()
			for i := range owned {
				owned[i] = &Session{partial: muxer.Partial{Limit: limit, Shared: shared}}
				for range streams {
					in, out := net.Pipe()
					writers = append(writers, out)
					r := &reader{s: owned[i], l: &lane{Channel: muxer.Channel{MaxMessage: most}}, in: in}
					reading.Go(func() {
						_, err := r.message()
						mu.Lock()
						defer mu.Unlock()
						if ce, ok := errors.AsType[*muxer.CloseError](err); ok {
							refused++
							if ce.Code != muxer.CodeMessageTooBig && ce.Code != muxer.CodeOverflow {
								t.Error(err)
							}
						}
						in.Close()
					})
				}
			}
			for _, out := range writers {
				writing.Go(func() {
					half := append(binary.AppendUvarint(nil, most), make([]byte, most-1)...)
					for ; len(half) > 0; half = half[min(piece, len(half)):] {
						if _, err := out.Write(half[:min(piece, len(half))]); errors.Is(err, io.ErrClosedPipe) {
							return
						}
					}
				})
			}
			writing.Wait()
			held := heap() - before
			if want := all + sessions*256<<10 + sessions*streams*8<<10; held > want {
				t.Errorf("the heap holds %d bytes, want at most %d", held, want)
			}
			if used := shared.Used(); used > all+sessions*256<<10 {
				t.Errorf("%d bytes are charged", used)
			}
			for _, out := range writers {
				out.Close()
			}
			reading.Wait()
			if refused == 0 || shared.Used() != 0 {
				t.Errorf("%d are refused, %d bytes are charged behind the end", refused, shared.Used())
			}
		})
	}
}
