package yamux

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// A remote that hangs up while its streams have not yet named a protocol, or in the middle of one's first frame, is
// noticed at once.
func TestHangUpWhileNaming(t *testing.T) {
	half := multistream.Propose("/one")[:12]
	for name, send := range map[string][]byte{
		"nothing said":  frame(typeWindow, flagSYN, 1, 0),
		"half a name":   frame(typeData, flagSYN, 1, uint32(len(half)), half...),
		"half a frame":  frame(typeData, flagSYN, 1, 100, half...),
		"half a header": append(frame(typeWindow, flagSYN, 1, 0), 0, 0, 0),
		"reset, too": append(frame(typeData, flagSYN, 1, uint32(len(half)), half...),
			frame(typeWindow, flagRST, 1, 0)...),
		"several":        append(frame(typeWindow, flagSYN, 1, 0), frame(typeWindow, flagSYN, 3, 0)...),
		"more than many": append(manyStreams(11), half...),
	} {
		t.Run(name, func(t *testing.T) {
			attack(t, channelOne, func(t *testing.T, v *victim) {
				began := time.Now()
				v.raw.Write(send)
				v.raw.Close()
				<-v.ended
				if took := time.Since(began); took != 0 {
					t.Errorf("noticed after %v: %v", took, v.err)
				}
			})
		})
	}
}

// manyStreams begins n streams.
func manyStreams(n int) (b []byte) {
	for i := range n {
		b = append(b, frame(typeWindow, flagSYN, uint32(2*i+1), 0)...)
	}
	return b
}

// A read that waits ends when the remote sends no more, whatever its deadline, with an error that says so; what has
// arrived is read before.
func TestHangUpEndsReads(t *testing.T) {
	for name, c := range map[string]struct {
		end  []byte
		want func(error) bool
	}{
		"hang up": {nil, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"go away": {frame(typeGoAway, 0, 0, codeBase|uint32(muxer.CodeBanned)), func(err error) bool {
			var ce *muxer.CloseError
			return errors.As(err, &ce) && ce.Code == muxer.CodeBanned && ce.Remote
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := muxertest.Pipe(1 << 20)
				m, err := New(Config{})
				if err != nil {
					t.Fatal(err)
				}
				streams, err := m.New(a, muxer.Dialer)
				if err != nil {
					t.Fatal(err)
				}
				defer streams.CloseWith(muxer.CodeRequested, "", 0)
				s, err := streams.Open(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				later, err := streams.Open(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				read := make(chan error, 1)
				go func() {
					_ = s.SetReadDeadline(time.Now().Add(time.Hour))
					got, err := io.ReadAll(s)
					if string(got) != "abc" {
						t.Errorf("read %q", got)
					}
					read <- err
				}()
				synctest.Wait()
				_, _ = b.Write(append(frame(typeData, 0, 1, 3, []byte("abc")...), c.end...))
				_ = b.Close()
				if err := <-read; !c.want(err) {
					t.Errorf("the read ended with %v", err)
				}
				_ = later.SetDeadline(time.Time{}) // as who begins to read only now may do
				if _, err := later.Read(make([]byte, 1)); !c.want(err) || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("a later read ended with %v", err)
				}
			})
		})
	}
}
