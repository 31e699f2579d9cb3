package mconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"testing"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
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

// unusual returns the beginning of a packet of unusual form, of so many bytes: all but the last one.
func unusual(size int) []byte {
	b := binary.AppendUvarint(nil, uint64(size))
	head := len(b)
	b = binary.AppendUvarint(append(b, 15<<3|2), uint64(size)) // an unknown field, whatever its length says
	return append(b, make([]byte, head+size-len(b)-1)...)
}

// What a remote has begun and not finished holds what its channels take, whatever the size of packets, and of the
// pieces in which they come: a message on each channel, and a packet of unusual form as long as the longest of them.
func TestUnfinishedHeap(t *testing.T) {
	const sessions, channels, slack = 8, 4, 16 << 10
	for most, pieces := range map[int][]int{1 << 10: {1, 100, 1 << 10}, 16 << 10: {1, 100, 64 << 10},
		256 << 10: {100, 1 << 10, 64 << 10}} {
		for _, piece := range pieces {
			t.Run(fmt.Sprintf("%d bytes in pieces of %d", most, piece), func(t *testing.T) {
				var all []*Session
				for range sessions {
					s, err := New(sinkhole{}, muxer.Listener, many(channels, muxer.Channel{MaxMessage: most}), Config{})
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, s)
				}
				before := heap()
				for _, s := range all {
					for id := range channels {
						for left := most - 1; left > 0; left -= min(piece, left) {
							n := min(piece, left)
							packet := append(appendHeader(nil, byte(id), false, n), make([]byte, n)...)
							if err := s.arrived(packet, &muxertest.Inbox{}); err != nil {
								t.Fatal(err)
							}
						}
					}
					for body := unusual(most + packetOverhead); len(body) > 0; body = body[min(piece, len(body)):] {
						if err := s.arrived(body[:min(piece, len(body))], &muxertest.Inbox{}); err != nil {
							t.Fatal(err)
						}
					}
				}
				held := (heap() - before) / sessions
				if want := channels*muxer.BufferSize(most) + most + packetOverhead; held > want+want/4+slack {
					t.Errorf("a session holds %d bytes, want %d", held, want)
				}
				if charged := all[0].PartialBytes(); held > charged+slack {
					t.Errorf("a session holds %d bytes, of which %d are charged", held, charged)
				}
			})
		}
	}
}

// A packet of unusual form that is longer than any message ends the session when its header has come.
func TestUnusualPacketIsBounded(t *testing.T) {
	s, err := New(sinkhole{}, muxer.Listener, many(2, muxer.Channel{MaxMessage: 1 << 10}), Config{})
	if err != nil {
		t.Fatal(err)
	}
	var ce *muxer.CloseError
	err = s.arrived(unusual(1<<10 + packetOverhead + 1)[:20], &muxertest.Inbox{})
	if !errors.As(err, &ce) || ce.Code != muxer.CodeMessageTooBig || s.PartialBytes() != 0 {
		t.Errorf("%v, with %d bytes held", err, s.PartialBytes())
	}
}
